/** The kubectl plugin on a whole cluster: what needs a kubelet. The rest is in test/integration/kubectl-km.test.ts. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run as runProgram } from '../cluster/process.ts';
import { application, service } from '../support/application.ts';
import type { Ended } from '../support/km-backup.ts';
import type { Kubectl } from '../support/kubectl.ts';
import { expectPlain, kubectlKm, PLUGIN } from '../support/kubectl-km.ts';
import { schedule } from '../support/resources.ts';
import { claim } from '../support/volume.ts';
import { cluster, restrictedNamespace } from './context.ts';

let kubectl: Kubectl;
let remove: () => Promise<void>;
let first: string;
let second: string;
const folder = mkdtempSync(join(tmpdir(), 'km-plugin-'));

/** Without checks of what is printed: `cat` prints files as they are. */
const raw = (...args: string[]): Promise<Ended> =>
  kubectlKm([...args, '-n', kubectl.namespace], { kubeconfig: cluster().kubeconfig });

async function km(...args: string[]): Promise<string> {
  const ended = await raw(...args);
  expectPlain(ended);
  expect([args.join(' '), ended.code, ended.stderr]).toEqual([args.join(' '), 0, expect.anything()]);
  return ended.stdout;
}

async function inApp(program: string): Promise<string> {
  await kubectl.run(['rollout', 'status', 'deployment/app', '--timeout=180s']);
  return kubectl.run(['exec', '-i', 'deployment/app', '--', 'node', '--input-type=module', '-'], program);
}

const readers = async (): Promise<unknown[]> => {
  const jobs = await kubectl.list('jobs', '-l', 'app.kubernetes.io/component=reader');
  return jobs.filter(({ metadata }) => !('deletionTimestamp' in metadata));
};

async function backUp(): Promise<string> {
  const said = await km('run', 'app', '--wait');
  return /Backup (\S+) succeeded/.exec(said)![1]!;
}

beforeAll(async () => {
  ({ kubectl, remove } = await restrictedNamespace('plugin'));
  await kubectl.apply([claim('data'), application('app', cluster().image, 'data'), service('app')]);
  await inApp(`import { mkdirSync, writeFileSync } from 'node:fs';
    mkdirSync('/data/notes');
    writeFileSync('/data/notes/plan.md', 'first plan\\n');
    writeFileSync('/data/notes/bad \\u001b[2J\\u202e\\nname', 'x');
    writeFileSync('/data/binary', Buffer.from(Array.from({ length: 3 << 20 }, (_, at) => at % 251)));`);
  await kubectl.apply([
    schedule('app', { suspend: true, source: { persistentVolumeClaim: { claimName: 'data' } } }),
  ]);
  first = await backUp();
  await inApp(`import { writeFileSync } from 'node:fs';
    writeFileSync('/data/notes/plan.md', 'second plan\\n'); writeFileSync('/data/notes/new.md', 'new');`);
  second = await backUp();
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await remove?.();
});

describe('reading archives where they are', () => {
  it('lists one, with hostile names escaped', async () => {
    const list = await km('ls', first);
    expect(list).toMatch(/ \.\/notes\/plan\.md$/m);
    expect(list).toContain('./notes/bad \\x1b[2J\\u{202e}\\nname');
    expect(await readers()).toEqual([]);
  });

  it('prints a file as it is, and a newer one of the schedule', async () => {
    expect((await raw('cat', first, 'notes/plan.md')).stdout).toBe('first plan\n');
    expect((await raw('cat', 'app', 'notes/plan.md')).stdout).toBe('second plan\n');
  });

  it('brings a file and a folder here, bit for bit, and overwrites nothing', async () => {
    const file = join(folder, 'binary');
    expect(await km('get', first, 'binary', '-o', file)).toContain('3.00 MiB');
    const expected = Buffer.from(Array.from({ length: 3 << 20 }, (_, at) => at % 251));
    expect(readFileSync(file).equals(expected)).toBe(true);
    expect((await raw('get', first, 'binary', '-o', file)).code).toBe(2);
    const tar = join(folder, 'notes.tar');
    await km('get', first, 'notes', '--tar', '-o', tar);
    expect((await runProgram('tar', ['-xOf', tar, './notes/plan.md'])).stdout).toBe('first plan\n');
  });

  it('says what changed, and when a file did', async () => {
    const diff = await km('diff', second);
    expect(diff).toMatch(/^\+ .*notes\/new\.md/m);
    expect(diff).toMatch(/^M .*notes\/plan\.md/m);
    expect(await km('diff', first, second, '--summary')).toMatch(/added +1 /);
    const history = await km('history', 'app', 'notes/plan.md');
    expect(history.split('\n').filter((line) => line.startsWith('km-backup-'))).toHaveLength(2);
  });

  it('says whether an archive is sound', async () => {
    expect(await km('verify', second, '--deep')).toMatch(/^ok /);
    expect((await km('verify', 'app', '--all')).match(/^ok /gm)).toHaveLength(2);
  });

  it('says what is not there, with the exit status of km-backup, and leaves no pod behind', async () => {
    const missing = await raw('cat', first, 'notes/none');
    expectPlain(missing);
    expect(missing.code).toBe(7);
    expect(missing.stderr).toContain("does not hold './notes/none'");
    expect(await readers()).toEqual([]);
    expect(await kubectl.list('pods', '-l', 'app.kubernetes.io/component=reader')).toEqual([]);
  });

  it('says why the pod cannot start', async () => {
    const ended = await raw('ls', first, '--image', 'localhost/no-such-image:1');
    expectPlain(ended);
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain('The node cannot pull the image');
    expect(await readers()).toEqual([]);
  });
});

describe('the rest of the plugin', () => {
  it('is found by kubectl itself, and completes names', async () => {
    const env = { PATH: `${dirname(PLUGIN)}:${process.env['PATH']}`, KUBECONFIG: cluster().kubeconfig };
    const status = await runProgram(cluster().kubectl, ['km', 'status', '-n', kubectl.namespace], { env });
    expect(status.stdout).toMatch(/^app +Suspended/m);
    const completed = await runProgram(
      cluster().kubectl,
      ['__complete', 'km', 'cat', '-n', kubectl.namespace, first.slice(0, -2)],
      { env },
    );
    expect(completed.stdout).toContain(first);
  });

  it('prints the log of a run', async () => {
    expect(await km('logs', first)).toContain('"event":"finished"');
  });

  it('finds nothing wrong with the installation', async () => {
    const checks = await km('doctor');
    expect(checks).toMatch(/^ok +Operator: km-system\/km-backup-operator: 1 of 1 pods are ready/m);
    expect(checks).toMatch(/^ok +Clock/m);
    expect(checks).not.toMatch(/^PROBLEM/m);
  });

  it('restores what the plan says, and the application runs again', async () => {
    const plan = await km('restore', first, '--plan');
    expect(plan).toMatch(/^ {2}- notes\/new\.md/m);
    expect(await kubectl.list('kmrestores')).toEqual([]);
    const done = await km('restore', first, '--yes', '--wait', '--keep-old-state', '0');
    expect(done).toMatch(/Restore \S+ succeeded/);
    expect(
      await inApp(
        `import { readFileSync } from 'node:fs'; process.stdout.write(readFileSync('/data/notes/plan.md'));`,
      ),
    ).toBe('first plan\n');
  });

  it('collects a report without secrets', async () => {
    const file = join(folder, 'report.tar.gz');
    await km('report', '-o', file);
    const names = (await runProgram('tar', ['-tzf', file])).stdout;
    for (const name of ['doctor.json', 'schedules.json', 'backups.json', 'pods.json', 'logs/'])
      expect(names).toContain(name);
    expect((await runProgram('tar', ['-xOzf', file])).stdout).not.toMatch(/managedFields|last-applied/);
  });
});
