import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { lockDestination } from '../archive/index.ts';
import { runScriptBackup } from './script-run.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'km-script-run-'));
  for (const name of ['source', 'backups']) mkdirSync(path.join(root, name));
  writeFileSync(path.join(root, 'source/data'), 'x');
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

test('another run holds the destination when old archives are to be removed: the backup still succeeded', async () => {
  const destination = path.join(root, 'backups');
  const archive = path.join(destination, 'km-backup-20260101T000000Z.tgz');
  const script = path.join(root, 'script');
  writeFileSync(
    script,
    `#!/bin/sh\ntar -czf ${archive} -C "$KM_BACKUP_SOURCE" . && echo packed >&2 && until [ -e ${root}/go ]; do sleep 0.05; done\necho "Backup written to ${archive}"\n`,
  );
  chmodSync(script, 0o755);
  let other: Promise<Disposable> | undefined;
  const { result, exitCode } = await runScriptBackup({
    script,
    source: path.join(root, 'source'),
    destination,
    series: undefined,
    retention: { limit: 1 },
    lockWaitMs: 0,
    env: { PATH: process.env['PATH'] },
    signal: new AbortController().signal,
    now: () => new Date(),
    onLine: () => {
      other = lockDestination(destination, 0, undefined).finally(() =>
        writeFileSync(path.join(root, 'go'), 'go\n'),
      );
    },
  });
  using _ = await other;
  expect([exitCode, result.outcome, result.archive?.path]).toEqual([0, 'Succeeded', archive]);
  expect(result.notes).toEqual([
    expect.stringMatching(/^Old archives could not be looked through, .* is in use by process/),
  ]);
  expect(result.present).toMatchObject({ count: 1, names: [] });
});
