import fc from 'fast-check';
import { expect, it } from 'vitest';
import { JsonValidator } from './json-validator.ts';

function accepts(text: string, chunk: number): boolean {
  const validator = new JsonValidator();
  try {
    for (let at = 0; at < text.length; at += chunk) validator.push(text.slice(at, at + chunk));
    validator.end();
    return true;
  } catch (error) {
    if (error instanceof SyntaxError) return false;
    throw error;
  }
}

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

const chunk = fc.integer({ min: 1, max: 9 });

it('agrees with JSON.parse on values, however they are cut', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(undefined, 1), chunk, (value, indent, size) => {
      expect(accepts(JSON.stringify(value, undefined, indent), size)).toBe(true);
    }),
  );
});

it('agrees with JSON.parse on damaged values', () => {
  fc.assert(
    fc.property(
      fc.jsonValue(),
      fc.nat(),
      fc.string({ maxLength: 2 }),
      chunk,
      (value, position, put, size) => {
        const text = JSON.stringify(value);
        const at = position % (text.length + 1);
        const damaged = text.slice(0, at) + put + text.slice(at + 1);
        expect(accepts(damaged, size)).toBe(parses(damaged));
      },
    ),
    { numRuns: 500 },
  );
});

it.each([
  '',
  ' ',
  '1',
  '-0',
  '01',
  '1.',
  '1e5',
  '.5',
  '+1',
  'nul',
  'null',
  'nullnull',
  '1 2',
  '[1 2]',
  '"',
  '"\\',
  '"\\u12"',
  '"\\ud800"',
  '"\t"',
  '[]',
  '[,]',
  '[1,]',
  '{}',
  '{"a"}',
  '{"a":}',
  '{"a":1,}',
  '{a:1}',
  '{"a":1',
  '[}',
  ']',
  '{"a":1]',
  '\ufeff1',
  '[1,2',
  '"a" ,',
  '{"a":1 "b":2}',
  'true,',
  '-',
  '[-]',
  '{"a":{"b":[1,{"c":null}]}}',
  "'a'",
  '[1]x',
])('agrees with JSON.parse on %j', (text) => {
  for (const size of [1, 2, 100]) expect([text, accepts(text, size)]).toEqual([text, parses(text)]);
});

it('refuses nesting without end instead of filling the memory', () => {
  expect(accepts('['.repeat(200_000), 1000)).toBe(false);
});
