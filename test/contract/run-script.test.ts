import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RunResult } from '../../src/api/run-result.ts';

const program = join(import.meta.dirname, '../../bin/km-backup');
let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'km-run-script-'));
  await mkdir(join(root, 'source'));
  await writeFile(join(root, 'source/a'), 'a');
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function run(script: string, ...more: string[]): Promise<{ code: number; result: RunResult }> {
  const file = join(root, 'script');
  await writeFile(file, `#!/bin/sh\nset -e\n${script}\n`);
  await chmod(file, 0o755);
  const resultFile = join(root, 'result');
  const args = [
    'run-script',
    `--source=${root}/source`,
    `--destination=${root}/archives`,
    '--retention-limit=2',
    `--result-file=${resultFile}`,
    ...more,
    file,
  ];
  const code = await promisify(execFile)(program, args).then(
    () => 0,
    (error: { code: number }) => error.code,
  );
  return { code, result: RunResult.parse(JSON.parse(await readFile(resultFile, 'utf8'))) };
}

const PACK = (name: string) =>
  `tar -czf "$KM_BACKUP_DEST/${name}" -C "$KM_BACKUP_SOURCE" .\necho "Backup written to $KM_BACKUP_DEST/${name}"`;

describe('a script in place of the built-in program', () => {
  it('writes an archive that is read from end to end, and retention follows', async () => {
    for (const day of [1, 2, 3]) {
      const name = `km-backup-2026010${day}T000000Z.tgz`;
      const { code, result } = await run(PACK(name));
      expect(code).toBe(0);
      expect(result).toMatchObject({
        outcome: 'Succeeded',
        reason: 'ScriptArchiveSound',
        archive: { name, entries: 2 },
      });
    }
    const left = (await readdir(join(root, 'archives'))).filter((name) => name.endsWith('.tgz'));
    expect(left.sort()).toEqual(['km-backup-20260102T000000Z.tgz', 'km-backup-20260103T000000Z.tgz']);
  });

  it('does not run beside the script of a run that was killed', async () => {
    const marks = join(root, 'marks');
    const gate = join(root, 'gate');
    const waiting = join(root, 'waiting');
    await writeFile(
      waiting,
      `#!/bin/sh\necho begin >> ${marks}\nuntil [ -e ${gate} ]; do sleep 0.05; done\n`,
    );
    await chmod(waiting, 0o755);
    const args = ['run-script', `--source=${root}/source`, `--destination=${root}/archives`, waiting];
    const first = spawn(program, args, { stdio: 'ignore' });
    await expect.poll(() => existsSync(marks), { timeout: 60_000 }).toBe(true);
    first.kill('SIGKILL');
    await once(first, 'exit');
    try {
      const { code, result } = await run(PACK('km-backup-20260101T000000Z.tgz'));
      expect(code).toBe(4);
      expect(result).toMatchObject({ outcome: 'Skipped', reason: 'Locked' });
      expect(result.message).toContain('a script is still running');
    } finally {
      await writeFile(gate, '');
    }
    const ended = run(PACK('km-backup-20260102T000000Z.tgz'), '--lock-wait=60');
    expect(await ended).toMatchObject({ code: 0 });
  });

  const failures: [name: string, script: string, reason: string, words: string][] = [
    ['names no archive', 'true', 'ScriptFailed', 'Backup written to'],
    ['fails', 'echo broken >&2; exit 7', 'ScriptFailed', 'broken'],
    [
      'writes outside the destination',
      'tar -czf "$KM_BACKUP_SOURCE/km-backup-x.tgz" -C / etc/hostname; echo "Backup written to $KM_BACKUP_SOURCE/km-backup-x.tgz"',
      'ArchiveNotManaged',
      'km-backup-*',
    ],
    ['writes a name that retention would not find', PACK('mine.tgz'), 'ArchiveNotManaged', 'mine.tgz'],
    [
      'writes rubbish',
      'echo rubbish > "$KM_BACKUP_DEST/km-backup-x.tgz"; echo "Backup written to $KM_BACKUP_DEST/km-backup-x.tgz"',
      'ArchiveCorrupt',
      'damaged',
    ],
  ];
  it.each(failures)('fails when it %s', async (_name, script, reason, words) => {
    const { code, result } = await run(script);
    expect(code).toBe(1);
    expect(result).toMatchObject({ outcome: 'Failed', reason });
    expect(result.message).toContain(words);
    expect(result.archive).toBeUndefined();
  });
});
