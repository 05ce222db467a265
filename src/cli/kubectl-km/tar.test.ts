import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { tarOf } from './tar.ts';

it('is read by tar', () => {
  const files = new Map([
    ['a.json', '{}\n'],
    ['logs/ä', 'x'.repeat(1025)],
    ['empty', ''],
  ]);
  const input = tarOf(files, 1_700_000_000);
  const list = execFileSync('tar', ['-tf', '-'], {
    input,
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C.UTF-8' },
  });
  expect(list).toMatch(/^a\.json\nlogs\/.*\nempty\n$/);
  expect(execFileSync('tar', ['-xOf', '-', 'a.json'], { input, encoding: 'utf8' })).toBe('{}\n');
  expect(execFileSync('tar', ['-xOf', '-', '--wildcards', 'logs/*'], { input }).length).toBe(1025);
  expect(() => tarOf(new Map([['x'.repeat(101), '']]), 0)).toThrow('too long');
});
