/** The examples of docs/kubectl-plugin.md print what the page shows. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { checkout } from '../support/backup.ts';
import { expectPlain, kubectlKm } from '../support/kubectl-km.ts';
import { inScene, type OperatorScene } from '../support/operator-scene.ts';
import { populated, withPlan } from '../support/plugin-scene.ts';

const page = readFileSync(join(checkout, 'docs/kubectl-plugin.md'), 'utf8');
const COLUMNS = '80';

/** Command -> what the page shows below it. */
const examples = new Map(
  [...page.matchAll(/^```console\n\$ kubectl km (.*)\n([\s\S]*?)^```$/gm)].map(([, command, text]) => [
    command!,
    text!,
  ]),
);

async function shows({ kubeconfig, namespace }: OperatorScene, command: string): Promise<void> {
  const ended = await kubectlKm([...command.split(' '), '-n', namespace], { kubeconfig, env: { COLUMNS } });
  expectPlain(ended);
  expect(ended.stdout.trimEnd()).toBe(examples.get(command)?.trimEnd());
}

it(
  'status, why and list',
  inScene(async (made) => {
    await populated(made);
    await shows(made, 'status');
    await shows(made, 'why wiki-20261125');
    await shows(made, 'list');
  }),
);

it(
  'restore --plan',
  inScene(async (made) => {
    await withPlan(made);
    await shows(made, 'restore notes --plan');
  }),
);

it('import', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'km-import-'));
  try {
    const variables = /^```sh\n# gateway\.env\n([\s\S]*?)^```$/m.exec(page)![1]!;
    writeFileSync(join(folder, 'gateway.env'), variables);
    const command = 'import gateway.env --claim gateway-state';
    const ended = await kubectlKm(command.replace('gateway.env', join(folder, 'gateway.env')).split(' '), {
      kubeconfig: '/none',
    });
    expectPlain(ended);
    expect(ended.code).toBe(0);
    expect((ended.stdout + ended.stderr).trimEnd()).toBe(examples.get(command)?.trimEnd());
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it('every example of the page is run here', () => {
  expect([...examples.keys()].sort()).toEqual(
    [
      'import gateway.env --claim gateway-state',
      'list',
      'restore notes --plan',
      'status',
      'why wiki-20261125',
    ].sort(),
  );
});
