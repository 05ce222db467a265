import { execFile } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const bin = path.join(import.meta.dirname, '../../bin');
const NOBODY = 65534;
let home: string;

beforeEach(() => {
  home = fs.mkdtempSync(path.join(os.tmpdir(), 'km-home-'));
});
afterEach(() => fs.rmSync(home, { recursive: true, force: true }));

async function help(program: string, env: NodeJS.ProcessEnv): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)(path.join(bin, program), ['--help'], {
    env: { PATH: process.env['PATH'], ...env },
  });
  expect(stderr).toBe('');
  return stdout;
}

const filesBelow = (dir: string) =>
  fs.readdirSync(dir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
const compiled = () => path.join(home, '.cache/km-backup/compiled');

describe.each(['km-backup', 'kubectl-km'])('%s keeps what was compiled', (program) => {
  it('in the home, for nobody else, and says the same with it', async () => {
    const first = await help(program, { HOME: home });
    expect(filesBelow(compiled())).not.toEqual([]);
    expect(fs.statSync(compiled()).mode & 0o777).toBe(0o700);
    expect(await help(program, { HOME: home })).toBe(first);
    for (const { parentPath, name } of filesBelow(compiled()))
      fs.truncateSync(path.join(parentPath, name), 20);
    expect(await help(program, { HOME: home })).toBe(first);
  });

  it('in $XDG_CACHE_HOME alone, where it is set', async () => {
    const cache = path.join(home, 'cache');
    fs.mkdirSync(cache);
    await help(program, { HOME: home, XDG_CACHE_HOME: cache });
    expect(filesBelow(path.join(cache, 'km-backup/compiled'))).not.toEqual([]);
    expect(fs.readdirSync(home)).toEqual(['cache']);
  });

  it.each<[where: string, prepare: () => string | undefined]>([
    [
      'the home belongs to somebody else',
      () => {
        fs.chownSync(home, NOBODY, NOBODY);
        return home;
      },
    ],
    [
      'others can write to the home',
      () => {
        fs.chmodSync(home, 0o777);
        return home;
      },
    ],
    [
      'others can write to the folder',
      () => {
        fs.mkdirSync(compiled(), { recursive: true });
        fs.chmodSync(compiled(), 0o777);
        return home;
      },
    ],
    [
      'the folder belongs to somebody else',
      () => {
        fs.mkdirSync(compiled(), { recursive: true });
        fs.chownSync(compiled(), NOBODY, NOBODY);
        return home;
      },
    ],
    [
      'the folder is a file',
      () => {
        fs.mkdirSync(path.dirname(compiled()), { recursive: true });
        fs.symlinkSync('/dev/null', compiled());
        return home;
      },
    ],
    ['the home is missing', () => path.join(home, 'missing')],
    ['the home has a relative name', () => '.'],
    ['the home is not known', () => undefined],
  ])('nowhere where %s', async (_, prepare) => {
    const given = prepare();
    expect(await help(program, given === undefined ? {} : { HOME: given })).toContain('Usage:');
    expect(filesBelow(home)).toEqual([]);
  });
});
