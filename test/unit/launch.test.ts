import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

const BIN = path.join(import.meta.dirname, '../../bin');
let root: string;
const at = (...names: string[]) => path.join(root, ...names);

function write(name: string, content: string): void {
  fs.mkdirSync(path.dirname(at(name)), { recursive: true });
  fs.writeFileSync(at(name), content);
}

/** Takes down what the sources are now, as `npm run build` does. */
function markBuilt(): void {
  const list = execFileSync('sh', ['-c', 'root=$1; . "$root/bin/launch.sh"; sources', 'sh', root]);
  fs.writeFileSync(at('dist/sources'), list);
}

const run = (program: string, ...args: string[]) => execFileSync(program, args, { encoding: 'utf8' }).trim();

beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'km-launch-'));
  fs.cpSync(BIN, at('bin'), { recursive: true });
  fs.mkdirSync(at('node_modules/.bin'), { recursive: true });
  fs.symlinkSync(process.execPath, at('node_modules/.bin/node'));
  write('package.json', '{ "type": "module" }');
  write('package-lock.json', '{}');
  write('scripts/build.ts', '');
  write('src/cli/km-backup.ts', 'console.log("source", ...process.argv.slice(2))');
  write('src/cli/operator.ts', 'console.log("operator source")');
  write('src/deep/er/module.ts', 'export {}');
  write('dist/km-backup.js', 'console.log("built", ...process.argv.slice(2))');
  write('dist/km-backup-operator.js', 'console.log("operator built")');
  markBuilt();
});
afterEach(() => fs.rmSync(root, { recursive: true, force: true }));

test('a current build is run, by both programs and through links, with all arguments as given', () => {
  expect(run(at('bin/km-backup-operator'))).toBe('operator built');
  fs.symlinkSync(at('bin/km-backup'), at('linked'));
  fs.symlinkSync('linked', at('twice'));
  expect(run(at('twice'), 'a b', '*', '', '--')).toBe('built a b *  --');
});

test.each<[string, () => void]>([
  ['an edited source', () => fs.appendFileSync(at('src/deep/er/module.ts'), '//')],
  [
    'a source put back from an older copy',
    () => fs.utimesSync(at('src/deep/er/module.ts'), new Date(0), new Date(0)),
  ],
  ['a new source', () => write('src/deep/er/new.ts', '')],
  ['a removed source', () => fs.rmSync(at('src/deep/er/module.ts'))],
  ['another package.json', () => write('package.json', '{ "type": "module", "version": "2.0.0" }')],
  ['no build', () => fs.rmSync(at('dist'), { recursive: true })],
  ['a build by other means', () => fs.rmSync(at('dist/sources'))],
])('%s: the sources are run', (_, change) => {
  change();
  expect(run(at('bin/km-backup'), 'x')).toBe('source x');
});

test('without a Node.js that can run it: what to do, in words', () => {
  fs.rmSync(at('node_modules'), { recursive: true });
  const tools = at('tools');
  fs.mkdirSync(tools);
  for (const tool of ['readlink', 'find', 'cmp'])
    fs.symlinkSync(execFileSync('which', [tool], { encoding: 'utf8' }).trim(), path.join(tools, tool));
  const start = () => spawnSync('/bin/sh', [at('bin/km-backup')], { encoding: 'utf8', env: { PATH: tools } });
  expect(start()).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(/^km-backup needs Node\.js 26 .*\n$/),
  });
  fs.writeFileSync(path.join(tools, 'node'), '#!/bin/sh\necho v20.11.1\n', { mode: 0o755 });
  expect(start()).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(/^km-backup needs Node\.js 26 .*\n$/),
  });
});

test('an installed package has no sources: its build is run', () => {
  fs.rmSync(at('src'), { recursive: true });
  fs.rmSync(at('dist/sources'));
  expect(run(at('bin/km-backup'))).toBe('built');
});
