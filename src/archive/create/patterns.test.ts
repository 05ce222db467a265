import { expect, test } from 'vitest';
import { fromText } from '../format/byte-string.ts';
import { compilePatterns } from './patterns.ts';

test.each<[pattern: string, yes: string[], no: string[]]>([
  ['*.log', ['a.log', 'x/y/a.log', '.log'], ['a.log.gz', 'alog']],
  ['/a.log', ['a.log'], ['x/a.log']],
  ['cache', ['cache', 'x/cache'], ['cache2', 'cache/inner']],
  ['cache/', ['cache/', 'x/cache/'], ['cache']],
  ['x/cache', ['x/cache'], ['y/x/cache', 'cache']],
  ['x/**', ['x/a', 'x/a/b'], ['x', 'y/x/a']],
  ['**/b', ['b', 'a/b', 'a/c/b'], ['ab', 'a/bc']],
  ['a/**/b', ['a/b', 'a/x/b', 'a/x/y/b'], ['ab', 'a/xb']],
  ['?', ['a', 'é', '日', 'x/y'], ['ab', '']],
  ['[a-c]?', ['ax', 'b1'], ['dx', 'a']],
  ['[!a]', ['b'], ['a', '/']],
  ['a.b', ['a.b'], ['axb']],
  ['\\*', ['*'], ['a']],
  ['$(touch x)', ['$(touch x)'], ['touch x']],
  ['-rf', ['-rf', 'a/-rf'], ['rf']],
  ['a\nb', ['a\nb'], ['a', 'b']],
  ['(a|b)+', ['(a|b)+'], ['a', 'ab']],
  ['*', ['a', 'a/b', 'x\ny'], []],
])('%j', (pattern, yes, no) => {
  const patterns = compilePatterns([pattern])!;
  const matches = (path: string) =>
    patterns.matches(fromText(path.replace(/(.)\/$/, '$1')), /.\/$/.test(path));
  for (const path of yes) expect([path, matches(path)]).toEqual([path, true]);
  for (const path of no) expect([path, matches(path)]).toEqual([path, false]);
});

test('no pattern, no matcher; empty patterns say nothing', () => {
  expect(compilePatterns([])).toBeUndefined();
  expect(compilePatterns([''])).toBeUndefined();
});
