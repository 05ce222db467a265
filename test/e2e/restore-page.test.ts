/** docs/restore.md: every command of the runbook, as it stands there, against an application that lost something. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { application } from '../support/application.ts';
import { runBlock, shellBlocks } from '../support/doc-blocks.ts';
import type { Kubectl } from '../support/kubectl.ts';
import { runNow, schedule } from '../support/resources.ts';
import { claim } from '../support/volume.ts';
import { cluster, restrictedNamespace } from './context.ts';

let kubectl: Kubectl;
let remove: () => Promise<void>;

async function inApp(program: string): Promise<string> {
  await kubectl.run(['rollout', 'status', 'deployment/app', '--timeout=180s']);
  const files = `import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';`;
  const command = ['exec', '-i', 'deployment/app', '--', 'node', '--input-type=module', '-'];
  return (await kubectl.run(command, `${files} process.chdir('/data'); ${program}`)).trim();
}
const state = () =>
  inApp(
    `console.log(['config/app.yaml', 'uploads/1', 'later'].map((file) => existsSync(file) ? readFileSync(file, 'utf8') : '-').join());`,
  );
/** The blocks below a heading, run one after the other; gives what each printed. */
async function follow(
  heading: string,
  edit: (block: string) => string = (block) => block,
): Promise<string[]> {
  const printed: string[] = [];
  for (const block of shellBlocks('restore.md', heading)) printed.push(await runBlock(edit(block), kubectl));
  expect(printed.length).toBeGreaterThan(0);
  return printed;
}
const phaseOf = async (name: string) => (await kubectl.get('kmrestore', name)).status.phase;
const giveUpOldState = (name: string) =>
  kubectl.run(['annotate', 'kmrestore', name, 'km.duskmantle.io/old-state=commit']);

let firstArchive: string;

beforeAll(async () => {
  ({ kubectl, remove } = await restrictedNamespace('runbook'));
  await kubectl.apply([claim('data'), application('app', cluster().image, 'data')]);
  await inApp(
    `mkdirSync('config'); mkdirSync('uploads'); writeFileSync('config/app.yaml', 'one'); writeFileSync('uploads/1', 'one');`,
  );
  await kubectl.apply([
    schedule('nightly', { suspend: true, source: { persistentVolumeClaim: { claimName: 'data' } } }),
  ]);
  firstArchive = (await runNow(kubectl, 'nightly')).status.completionTime;
  await inApp(`writeFileSync('config/app.yaml', 'two'); writeFileSync('uploads/1', 'two');`);
  await runNow(kubectl, 'nightly');
});
afterAll(() => remove?.());

describe('the runbook', () => {
  it('shows what is there', async () => {
    const [first] = shellBlocks('restore.md');
    expect(await runBlock(first!, kubectl)).toMatch(/nightly[\s\S]*data/);
  });

  it('brings back the newest backup, goes back, and frees the old state', async () => {
    await inApp(`writeFileSync('config/app.yaml', 'ruined'); rmSync('uploads', { recursive: true });`);
    const [apply, wait, goBack, commit] = shellBlocks('restore.md', 'Bring back the newest backup');
    await runBlock(apply!, kubectl);
    const seen = await runBlock(wait!, kubectl);
    expect(seen).toMatch(/NAME +PHASE +REASON +DATA AGE +SECONDS +AGE\nback +Succeeded +Restored +/);
    expect(await state()).toBe('two,two,-');
    await runBlock(goBack!, kubectl);
    expect(await state()).toBe('ruined,-,-');
    await kubectl.run(['delete', 'kmrestore', 'back']);
    await runBlock(apply!, kubectl);
    await runBlock(wait!, kubectl);
    await runBlock(commit!.replace('annotate', 'annotate --overwrite'), kubectl);
    await kubectl.until('kmrestore', 'back', ({ status }) => status?.oldState === undefined);
    expect(await state()).toBe('two,two,-');
  });

  it('brings back an earlier day', async () => {
    const [listed] = await follow('An earlier day', (block) =>
      block.replace('2026-11-20T00:00:00Z', firstArchive),
    );
    expect(listed).toContain('nightly-now-');
    expect(await phaseOf('earlier')).toBe('Succeeded');
    expect(await state()).toBe('one,one,-');
    await giveUpOldState('earlier');
  });

  it('brings back single files', async () => {
    await inApp(`writeFileSync('later', 'later');`);
    await follow('Single files');
    expect(await phaseOf('some')).toBe('Succeeded');
    expect(await state()).toBe('two,two,later');
    await giveUpOldState('some');
  });

  it('looks first', async () => {
    const [printed] = await follow('Look first');
    expect(printed).toMatch(/Would add \d+, change \d+, remove 1 and keep \d+ entries[\s\S]*- later/);
    expect(await state()).toBe('two,two,later');
  });

  it('restores into a new claim', async () => {
    const [printed] = await follow('Into a new claim');
    expect(printed).toMatch(/data-restored +Bound/);
  });

  it('gives up what is stuck, and the application runs', async () => {
    const stuck = `{"apiVersion":"km.duskmantle.io/v1alpha1","kind":"KmRestore","metadata":{"name":"stuck"},"spec":{"source":{"scheduleName":"nightly"},"after":["nothing"],"target":{"persistentVolumeClaim":{"claimName":"data"}}}}`;
    await kubectl.run(['apply', '-f', '-'], stuck);
    await kubectl.until('kmrestore', 'stuck', ({ status }) => status?.reason === 'WaitingForRestore');
    const [shown] = await follow('When a restore is stuck');
    expect(shown).toMatch(/stuck +Pending +WaitingForRestore/);
    expect(await kubectl.list('kmrestores')).toEqual([]);
    expect(await state()).toBe('two,two,later');
  });

  it('shows the Job for a cluster without the operator', async () => {
    expect((await follow('Without the operator'))[0]).toContain('created (server dry run)');
  });
});
