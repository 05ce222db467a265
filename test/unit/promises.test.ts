import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

/** The numbered list below `## Promises`, one line each. */
function promisesOf(page: string): string[] {
  const text = readFileSync(join(import.meta.dirname, '../..', page), 'utf8');
  const section = text.split('## Promises\n')[1]!.split('\n## ')[0]!;
  return section
    .trim()
    .split(/\n(?=\d+\. )/)
    .map((item) => item.replace(/\s+/g, ' '));
}

test('README and SECURITY make the same promises', () => {
  expect(promisesOf('README.md')).toEqual(promisesOf('SECURITY.md'));
  expect(promisesOf('README.md').length).toBeGreaterThan(5);
});
