import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { beyond, breaks, contract, putTo } from './backup-script.ts';

const here = import.meta.dirname;
const original = path.join(here, 'scripts', 'original-style.sh');
const own = path.join(here, '../../bin/km-backup');
/** Puts a script of your choice to the contract: `KM_CONTRACT_SCRIPT=/path npm run test:integration -- test/contract/backup-script`. */
const given = process.env['KM_CONTRACT_SCRIPT'];

const scripts =
  given === undefined ? { 'bin/km-backup': own, 'a tar script': original } : { [given]: path.resolve(given) };

describe.each(Object.entries(scripts))('%s', (_, script) => {
  test.each(Object.keys(contract))('%s', (name) => putTo(script, contract[name]!));
});

describe.runIf(given === undefined)('bin/km-backup beyond the original', () => {
  test.each(Object.keys(beyond))('%s', (name) => putTo(own, beyond[name]!));
});

describe.runIf(given === undefined)('the contract notices', () => {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'km-mutants-'));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  const text = readFileSync(original, 'utf8');
  let count = 0;

  /** The original-style script with one thing broken. */
  function mutant(from: string | RegExp, to: string): string {
    const broken = text.replace(from, () => to);
    if (broken === text) throw new Error(`nothing to break: ${from}`);
    count += 1;
    const file = path.join(directory, `mutant-${count}.sh`);
    writeFileSync(file, broken);
    chmodSync(file, 0o755);
    return file;
  }

  test.each([
    ['a silent success', ' && echo "Backup written to $out"', '', 'packs the source'],
    ['a line on standard error', 'to $out"', 'to $out" >&2', 'packs the source'],
    ['a path that is not there', 'to $out"', 'to $out.gz"', 'packs the source'],
    ['an archive that is not compressed', '-czf', '-cf', 'packs the source'],
    [
      'hidden files left out',
      '-C "$KM_BACKUP_SOURCE" .',
      '-C "$KM_BACKUP_SOURCE" --exclude=".*" .',
      'packs the source',
    ],
    ['links followed', '-czf', '-chzf', 'packs the source'],
    ['times not kept', '-czf "$out"', '-czf "$out" --mtime=2020-01-01', 'packs the source'],
    [
      'a failing exit status',
      '&& echo "Backup written to $out"',
      '&& echo "Backup written to $out"; exit 1',
      'packs the source',
    ],
    ['another name', '/km-backup-$', '/backup-$', 'under a managed name'],
    ['another place', '$KM_BACKUP_DEST/', '$KM_BACKUP_SOURCE/../', 'under a managed name'],
    ['archives of others removed', 'mkdir -p', 'rm -f "$KM_BACKUP_DEST"/*; mkdir -p', 'leaves the source'],
    [
      'a mark left in the source',
      'mkdir -p',
      'touch "$KM_BACKUP_SOURCE/.mark"; mkdir -p',
      'leaves the source',
    ],
    ['the output path ignored', '${1:-$KM_BACKUP_DEST', '${9:-$KM_BACKUP_DEST', 'takes an output path'],
    ['no --help', '[ "$1" = --help ]', '[ "$1" = --hilfe ]', 'explains itself'],
    ['a missing source passed over', /exit 1/, 'exit 0', 'source is missing'],
    ['a missing source as status 2', /exit 1/, 'exit 2', 'source is missing'],
    ['a missing source archived', /^\[ -d.*$/m, 'mkdir -p "$KM_BACKUP_SOURCE"', 'source is missing'],
    [
      'an unwritable destination passed over',
      '.tgz}',
      '.tgz}\n[ -d "$(dirname "$KM_BACKUP_DEST")" ] || mkdir -p "$KM_BACKUP_DEST" || { echo "Backup written to /dev/null"; exit 0; }',
      'cannot be written',
    ],
  ] as const)('%s', (_, from, to, clause) => {
    expect(breaks(mutant(from, to), clause)).toBe(true);
  });

  test('a script that does nothing at all', () => {
    const file = path.join(directory, 'nothing.sh');
    writeFileSync(file, '#!/bin/sh\nexit 0\n');
    chmodSync(file, 0o755);
    for (const clause of Object.keys(contract)) expect(breaks(file, clause)).toBe(true);
  });
});
