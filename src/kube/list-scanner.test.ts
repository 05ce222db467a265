import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ListScanner } from './list-scanner.ts';

/** Feeds the text in pieces that end at these places. */
function scan(text: string, cuts: readonly number[]): { items: unknown[]; list: unknown } {
  const items: unknown[] = [];
  const scanner = new ListScanner((item) => items.push(JSON.parse(item)));
  const bytes = new TextEncoder().encode(text);
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  let from = 0;
  for (const place of [...places, bytes.length]) {
    scanner.write(bytes.subarray(from, place));
    from = place;
  }
  return { items, list: scanner.end() };
}

/** As JSON has it: without -0. */
const item = fc
  .dictionary(fc.string({ unit: 'binary' }), fc.jsonValue())
  .map((object) => JSON.parse(JSON.stringify(object)) as unknown);

describe('ListScanner', () => {
  it('cuts out every item, however the text is broken up, laid out and ordered', () => {
    fc.assert(
      fc.property(
        fc.array(item, { maxLength: 8 }),
        fc.array(fc.nat(), { maxLength: 12 }),
        fc.constantFrom(undefined, 2),
        fc.boolean(),
        (items, cuts, indent, itemsFirst) => {
          const metadata = { resourceVersion: '7', items: ['no item'], continue: 'more]}"' };
          const list = itemsFirst ? { kind: 'L', items, metadata } : { kind: 'L', metadata, items };
          const found = scan(JSON.stringify(list, undefined, indent), cuts);
          expect(found.items).toEqual(items);
          expect(found.list).toEqual({ kind: 'L', metadata, items: [] });
        },
      ),
    );
  });

  it('takes a list without items', () => {
    expect(scan('{"items":null,"metadata":{}}', [])).toEqual({
      items: [],
      list: { items: null, metadata: {} },
    });
  });

  it('throws at a text that ends too soon', () => {
    const text = JSON.stringify({
      metadata: { continue: 'x' },
      items: [{ a: { b: 'c' } }, { d: 1 }],
      end: 1,
    });
    for (let length = 0; length < text.length; length += 1)
      expect(() => scan(text.slice(0, length), []), text.slice(0, length)).toThrow();
  });
});
