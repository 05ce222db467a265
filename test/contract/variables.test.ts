/** The variables mean the same for `km-backup [OUTPUT]`, `km-backup create` and `km-backup serve`. */
import { spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

const PROGRAM = path.join(import.meta.dirname, '../../bin/km-backup');

let root: string;
let source: string;
let destination: string;
beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'km-variables-'));
  source = path.join(root, 'source');
  destination = path.join(root, 'archives');
  mkdirSync(source);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

type Mode = 'bare' | 'create' | 'serve';

/** One backup in the given mode: whether it was made, and what was said. */
async function backUp(mode: Mode, variables: Record<string, string>) {
  const env = { PATH: process.env['PATH'], ...variables };
  if (mode !== 'serve') {
    const { status, stderr } = spawnSync(PROGRAM, mode === 'bare' ? [] : ['create'], {
      env,
      encoding: 'utf8',
    });
    return { made: status === 0, said: stderr };
  }
  const child = spawn(PROGRAM, ['serve', '--listen', '127.0.0.1:0', '--run-now'], {
    env: { ...env, KM_BACKUP_ENABLED: 'true' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  const finished = Promise.withResolvers<void>();
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk;
    if (said.includes('"backup finished"')) finished.resolve();
  });
  child.once('close', () => finished.resolve());
  await finished.promise;
  child.kill('SIGTERM');
  return { made: said.includes('"outcome":"success"'), said };
}

describe.each<Mode>(['bare', 'create', 'serve'])('%s', (mode) => {
  test.each([
    ['KM_STATE_PATH', 'KM_BACKUP_DEST_PATH'],
    ['KM_BACKUP_SOURCE', 'KM_BACKUP_DEST'],
  ])('%s and %s', async (sourceName, destinationName) => {
    writeFileSync(path.join(source, 'a'), 'a');
    const { made, said } = await backUp(mode, { [sourceName]: source, [destinationName]: destination });
    expect(said).not.toContain('has no effect');
    expect(made).toBe(true);
    expect(readdirSync(destination).filter((name) => name.endsWith('.tgz'))).toHaveLength(1);
    expect(readdirSync(source)).toEqual(['a']);
  });

  test('an empty source is a failure, and the variable that accepts it is named', async () => {
    const variables = { KM_BACKUP_SOURCE: source, KM_BACKUP_DEST: destination };
    const refused = await backUp(mode, variables);
    expect(refused.made).toBe(false);
    expect(refused.said).toContain('set KM_BACKUP_ALLOW_EMPTY=true');
    expect((await backUp(mode, { ...variables, KM_BACKUP_ALLOW_EMPTY: 'true' })).made).toBe(true);
  });

  test('a switch that is neither true nor false starts nothing', async () => {
    const { made, said } = await backUp(mode, {
      KM_BACKUP_SOURCE: source,
      KM_BACKUP_DEST: destination,
      KM_BACKUP_ALLOW_EMPTY: 'perhaps',
    });
    expect(made).toBe(false);
    expect(said).toContain('KM_BACKUP_ALLOW_EMPTY="perhaps": must be true or false');
    expect(existsSync(destination)).toBe(false);
  });
});

test('an unknown variable is named', async () => {
  writeFileSync(path.join(source, 'a'), 'a');
  const { made, said } = await backUp('bare', {
    KM_BACKUP_SOURCE: source,
    KM_BACKUP_DESTINATION: destination,
  });
  expect(made).toBe(true);
  expect(said).toContain('warning: KM_BACKUP_DESTINATION is not a variable of km-backup');
});

test('nobody reads the output: the backup is finished and its result written', async () => {
  writeFileSync(path.join(source, 'a'), 'a');
  const result = path.join(root, 'result.json');
  const args = ['create', `--source=${source}`, `--destination=${destination}`, `--result-file=${result}`];
  const child = spawn(PROGRAM, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.destroy();
  child.stderr.destroy();
  expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(0);
  expect(JSON.parse(readFileSync(result, 'utf8'))).toMatchObject({ outcome: 'Succeeded' });
});
