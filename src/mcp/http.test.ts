import { expect, test } from 'vitest';
import { tokenCheck } from './http.ts';

const TOKEN = 'a'.repeat(32);
const isValid = tokenCheck(TOKEN);

test.each([
  [`Bearer ${TOKEN}`, true],
  [`bearer  ${TOKEN} `, true],
  [null, false],
  ['', false],
  ['Bearer', false],
  ['Bearer ', false],
  [TOKEN, false],
  [`Basic ${TOKEN}`, false],
  [`Bearer ${TOKEN}a`, false],
  [`Bearer ${TOKEN.slice(1)}`, false],
  [`Bearer ${TOKEN} ${TOKEN}`, false],
  [`Bearer ${TOKEN.toUpperCase()}`, false],
  [`Bearer\n${TOKEN}`, false],
])('%j', (header, expected) => {
  expect(isValid(header)).toBe(expected);
});
