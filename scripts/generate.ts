/** Writes every generated file, or with `--check` fails when one differs from what is committed. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { commandLine } from './command-line.ts';
import { generatedFiles } from './generated-files.ts';

const root = join(import.meta.dirname, '..');
const { check } = commandLine({ check: { type: 'boolean', default: false } }, (values) => values);
const stale: string[] = [];

for (const [path, content] of await generatedFiles()) {
  const file = join(root, path);
  let current: string | undefined;
  try {
    current = readFileSync(file, 'utf8');
  } catch {
    current = undefined;
  }
  if (current === content) continue;
  stale.push(path);
  if (!check) {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  }
}

if (check && stale.length > 0) {
  console.error(`Out of date: ${stale.join(', ')}. Run "npm run generate" and commit the result.`);
  process.exit(1);
}
console.log(
  check
    ? 'Generated files are up to date.'
    : stale.length > 0
      ? `Wrote ${stale.join(', ')}`
      : 'Nothing to write.',
);
