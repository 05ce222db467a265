import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createLogger, escapeJson, printable, printableJson } from './index.ts';

const ESC = String.fromCharCode(27);

describe('printable', () => {
  test.each([
    ['plain name.txt', 'plain name.txt'],
    ['Grüße 你好 🎉', 'Grüße 你好 🎉'],
    ['two\nlines\r\t', 'two\\nlines\\r\\t'],
    [`${ESC}[2Jwiped`, '\\x1b[2Jwiped'],
    ['a\u202Etxt.exe', 'a\\u{202e}txt.exe'],
    ['a\u2028b', 'a\\u{2028}b'],
    ['lone \ud800', 'lone \\u{d800}'],
  ])('%j', (text, expected) => {
    expect(printable(text)).toBe(expected);
  });

  test.each([
    [[0x61, 0xff, 0x62], 'a\\xffb'],
    [[0xc3, 0xa4, 0xc3], 'ä\\xc3'],
    [[0xed, 0xa0, 0x80], '\\xed\\xa0\\x80'],
    [[0xf0, 0x9f, 0x8e, 0x89], '🎉'],
  ])('bytes %j', (bytes, expected) => {
    expect(printable(Uint8Array.from(bytes))).toBe(expected);
  });

  test('is bounded and cut between whole escapes', () => {
    expect(printable('abcdef', 6)).toBe('abcdef');
    expect(printable('abcdefg', 6)).toBe('abcde…');
    expect(printable('abc\u0001\u0001', 6)).toBe('abc…');
    expect(printable('a'.repeat(1e7), 100)).toHaveLength(100);
  });

  test('any input gives one bounded line without control characters', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string({ unit: 'binary' }), fc.uint8Array({ maxLength: 300 })),
        fc.integer({ min: 1, max: 100 }),
        (input, max) => {
          const line = printable(input, max);
          expect(line.length).toBeLessThanOrEqual(max);
          expect(line).toMatch(/^[^\p{Cc}\p{Cs}\p{Zl}\p{Zp}]*$/u);
        },
      ),
    );
  });
});

describe('logger', () => {
  test('writes JSON lines from its level up', () => {
    const lines: string[] = [];
    const logger = createLogger({
      level: 'info',
      name: 'x',
      stream: { write: (line) => void lines.push(line) },
    });
    logger.debug('not this');
    logger.warn({ file: 'a\nb' }, 'kept');
    logger.child({ key: 'ns/a' }).error({ err: new Error('boom') }, 'failed');
    expect(lines).toHaveLength(2);
    expect(JSON.parse(lines[0]!)).toMatchObject({ level: 'warn', name: 'x', msg: 'kept', file: 'a\nb' });
    expect(lines[0]!.trimEnd()).not.toContain('\n');
    const error = JSON.parse(lines[1]!);
    expect(error).toMatchObject({ level: 'error', key: 'ns/a', err: { message: 'boom' } });
    expect(Date.parse(error.time)).toBeGreaterThan(0);
  });
});

describe('JSON for people and programs', () => {
  test('is escaped, and parses to the same value', () => {
    const value = { name: `a\n${ESC}[2J\u202e\u009b\u{e0001}"\\`, list: ['\u2028', '日本'] };
    const json = printableJson(value);
    expect(json).toMatch(/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*$/u);
    expect(json).toContain('日本');
    expect(JSON.parse(json)).toEqual(value);
  });

  test('keeps the newlines of indented JSON', () => {
    expect(escapeJson('{\n  "a": "\u202e"\n}\n')).toBe('{\n  "a": "\\u202e"\n}\n');
  });
});
