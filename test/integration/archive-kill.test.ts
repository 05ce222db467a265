import { spawn, spawnSync } from 'node:child_process';
import { hash } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { verifyArchive } from '../../src/archive/verify/verify.ts';
import { FileLock } from '../../src/posix/file-lock.ts';
import { checkout, program, Sandbox } from '../support/backup.ts';
import { describeTree } from '../support/tree.ts';

const child = path.join(checkout, 'test/support/backup-killed.ts');
const node = path.join(checkout, 'node_modules/.bin/node');

function prepare(box: Sandbox): void {
  for (let index = 0; index < 40; index++) box.write(`file-${index}`, `${index}`.repeat(1000));
}

function run(box: Sandbox, day: number, step?: number) {
  const args = [
    child,
    box.source,
    box.destination,
    `2026-01-0${day}T00:00:00Z`,
    ...(step ? [String(step)] : []),
  ];
  const { signal, status, stdout, stderr } = spawnSync(node, args, { encoding: 'utf8' });
  return { signal, status, steps: status === 0 ? (JSON.parse(stdout) as string[]) : [], stderr };
}

function digests(directory: string): Record<string, string> {
  const files = fs.readdirSync(directory).filter((name) => name.startsWith('km-backup-'));
  return Object.fromEntries(
    files.map((name) => [name, hash('sha256', fs.readFileSync(path.join(directory, name)))]),
  );
}

/** Two archives are there, a third is made, and the limit of two removes the oldest. */
test('killed at every step: old archives intact, a new name only for a sound archive, the next run needs no help', async () => {
  using whole = new Sandbox();
  prepare(whole);
  run(whole, 1);
  run(whole, 2);
  const { steps } = run(whole, 3);
  expect(steps).toEqual(
    expect.arrayContaining([
      'begin',
      'temporaries made',
      'member',
      'members written',
      'archive synced',
      'manifest synced',
      'manifest named',
      'archive named',
      'directory synced',
      'archive removed',
      'archive pruned',
    ]),
  );
  const named = steps.indexOf('archive named');
  for (let step = 1; step <= steps.length; step++) {
    const where = `killed at ${step}: ${steps[step - 1]}`;
    using box = new Sandbox();
    prepare(box);
    run(box, 1);
    run(box, 2);
    const before = digests(box.destination);
    expect([where, run(box, 3, step).signal]).toEqual([where, 'SIGKILL']);

    const after = digests(box.destination);
    for (const [name, digest] of Object.entries(before)) {
      const pruned = step > named && name.includes('20260101') && !(name in after);
      expect([where, name, pruned ? 'pruned' : after[name]]).toEqual([
        where,
        name,
        pruned ? 'pruned' : digest,
      ]);
    }
    const fresh = Object.keys(after).filter((name) => name.endsWith('.tgz') && !(name in before));
    expect([where, fresh.length]).toEqual([where, step > named ? 1 : 0]);
    for (const name of fresh) {
      expect(await verifyArchive(path.join(box.destination, name), { deep: true })).toMatchObject({
        sound: true,
      });
    }

    expect([where, run(box, 4).status]).toEqual([where, 0]);
    const left = box.names();
    expect([where, left.filter((name) => name.endsWith('.tmp'))]).toEqual([where, []]);
    const archives = left.filter((name) => name.endsWith('.tgz'));
    expect([where, left.filter((name) => name.endsWith('.manifest'))]).toEqual([
      where,
      archives.map((name) => `${name}.manifest`),
    ]);
    expect(archives).toHaveLength(2);
    const newest = path.join(box.destination, archives.at(-1)!);
    expect(describeTree(box.untar(newest))).toEqual(describeTree(box.source));
  }
});

test.each([
  ['SIGTERM', 143],
  ['SIGINT', 130],
] as const)('%s stops a run: temporaries gone, lock free, status %i', async (signal, status) => {
  using box = new Sandbox();
  for (let index = 0; index < 12; index++) {
    const fd = fs.openSync(path.join(box.source, `large-${index}`), 'w');
    for (let block = 0; block < 64; block++) fs.writeSync(fd, Buffer.alloc(1 << 20, `${index} ${block} `));
    fs.closeSync(fd);
  }
  fs.mkdirSync(box.destination);
  const args = ['create', '--source', box.source, '--destination', box.destination, '--level', '12'];
  const running = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const growing = () =>
    box
      .names()
      .some((name) => name.endsWith('.tmp') && fs.statSync(path.join(box.destination, name)).size > 0);
  const ended = once(running, 'exit');
  for await (const _ of fs.promises.watch(box.destination)) if (growing()) break;
  running.kill(signal);
  expect(await ended).toEqual([status, null]);
  expect(box.names()).toEqual(['.km-backup.lock']);
  const attempt = FileLock.tryLock(path.join(box.destination, '.km-backup.lock'));
  expect(attempt.acquired).toBe(true);
  if (attempt.acquired) attempt.lock.release();
});
