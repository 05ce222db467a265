import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { commitRestore, rollbackRestore } from '../../src/archive/restore/finish.ts';
import { lastRestore } from '../../src/archive/restore/last-restore.ts';
import { restore } from '../../src/archive/restore/restore.ts';
import type { RestoreOptions } from '../../src/archive/restore/restore-options.ts';
import { backUpFolder } from '../support/backup.ts';

let root: string;
let target: string;
let archive: string;
const startedAt = new Date('2026-03-01T08:00:00Z');

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'km-last-restore-'));
  target = join(root, 'var');
  mkdirSync(target);
  writeFileSync(join(target, 'file'), 'precious');
  const { result } = await backUpFolder(target, join(root, 'archives'), {
    now: () => new Date('2026-02-01T12:00:00Z'),
  });
  archive = join(root, 'archives', result.archive!.name);
  writeFileSync(join(target, 'file'), 'damaged');
});
afterEach(() => rmSync(root, { recursive: true }));

const restored = (more: Partial<RestoreOptions> = {}) =>
  restore({
    archive,
    target,
    policy: { preserveSetid: false, skipDevices: false },
    oldState: 'keep',
    threads: 1,
    now: () => startedAt,
    ...more,
  });

const seen = () => {
  const last = lastRestore(target);
  return last && { archive: last.archive, made: last.archiveTime?.toISOString(), at: last.startedAt };
};
const live = () => ({ archive, made: '2026-02-01T12:00:00.000Z', at: startedAt });

it('sees none before there was one, nor in a place that cannot be', () => {
  expect([seen(), lastRestore(join(root, 'none/none')), lastRestore('/')]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
});

it('sees a restore while its old state is kept, and none once it is rolled back', async () => {
  await restored();
  expect(seen()).toEqual(live());
  await rollbackRestore(target);
  expect([seen(), readFileSync(join(target, 'file'), 'utf8')]).toEqual([undefined, 'damaged']);
});

it('sees a request with an id for good, but not once it is rolled back', async () => {
  await restored({ id: 'first' });
  await commitRestore(target);
  expect(seen()).toEqual(live());
  await restored({ id: 'second', now: () => new Date('2026-03-02T08:00:00Z') });
  await rollbackRestore(target);
  expect(seen()).toBeUndefined();
});

it('does not take an earlier request with an id for a later one without', async () => {
  await restored({ id: 'first' });
  await commitRestore(target);
  const later = new Date('2026-03-02T08:00:00Z');
  await restored({ oldState: 'remove', now: () => later });
  expect(seen()).toEqual({ ...live(), at: later });
});

it('leaves nothing of a request without an id', async () => {
  await restored({ oldState: 'remove' });
  expect([seen(), readdirSync(root).sort()]).toEqual([undefined, ['archives', 'var']]);
});

it('is not about single paths', async () => {
  await restored({ id: 'paths', paths: ['file'] });
  expect(seen()).toBeUndefined();
  await commitRestore(target);
  expect(seen()).toBeUndefined();
});

it('is not misled by a journal or history that cannot be read', async () => {
  await restored({ id: 'first' });
  await commitRestore(target);
  const [state] = readdirSync(root).filter((name) => name.startsWith('.km-restore'));
  writeFileSync(join(root, state!, 'history'), '{');
  expect(seen()).toBeUndefined();
});
