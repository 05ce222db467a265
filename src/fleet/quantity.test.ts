import { expect, it } from 'vitest';
import { quantityOf } from './quantity.ts';

it.each([
  ['10', 10],
  ['1500m', 1.5],
  ['10Gi', 10 * 2 ** 30],
  ['1.5k', 1500],
  ['1e3', 1000],
  ['0', 0],
  ['', undefined],
  [undefined, undefined],
  ['10X', undefined],
  ['Gi', undefined],
  ['1.2.3', undefined],
])('%s is %s', (text, value) => expect(quantityOf(text)).toBe(value));
