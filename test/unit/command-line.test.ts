import { describe, expect, it } from 'vitest';
import { chosen, numberOf, parseValues, UsageError } from '../../scripts/command-line.ts';

describe('flags of the tools', () => {
  const options = { only: { type: 'string' }, quick: { type: 'boolean', default: false } } as const;

  it('are read', () => {
    expect(parseValues(options, ['--only', 'a', '--quick'])).toEqual({ only: 'a', quick: true });
    expect(parseValues(options, [])).toEqual({ quick: false });
  });

  it.each([
    [['--onyl', 'a'], "Unknown option '--onyl'. Known flags: --only, --quick."],
    [
      ['a'],
      "Unexpected argument 'a'. This command does not take positional arguments. Known flags: --only, --quick.",
    ],
    [['--only'], "Option '--only <value>' argument missing. Known flags: --only, --quick."],
    [['--quick=yes'], "Option '--quick' does not take an argument. Known flags: --only, --quick."],
  ])('%j is refused', (args, message) => {
    expect(() => parseValues(options, args)).toThrow(new UsageError(message));
  });

  it('may be none', () => {
    expect(() => parseValues({}, ['--x'])).toThrow("Unknown option '--x'. It takes no flags.");
  });
});

describe('a list of names', () => {
  it('comes in the known order, once each', () => {
    expect(chosen('--only', 'b, a,b', ['a', 'b', 'c'])).toEqual(['a', 'b']);
  });
  it.each(['d', '', 'a,', 'A', 'a b', 'constructor'])('%j is refused', (list) => {
    expect(() => chosen('--only', list, ['a', 'b'])).toThrow(
      /^--only: ".*" does not exist\. Choose from a, b,/,
    );
  });
});

describe('a number', () => {
  it.each([
    ['2', { least: 1, whole: true }, 2],
    ['0', { least: 0, whole: true }, 0],
    ['0.5', { least: 0, whole: false }, 0.5],
  ])('%j with %j', (text, bounds, value) => {
    expect(numberOf('--n', text, bounds)).toBe(value);
  });
  it.each(['', ' ', 'x', '-1', '0', '1.5', '1e3', '0x10', 'Infinity', '99999999999999999999'])(
    '%j is no whole number from 1',
    (text) => {
      expect(() => numberOf('--n', text, { least: 1, whole: true })).toThrow(
        `--n: "${text}" is not a whole number of at least 1.`,
      );
    },
  );
});
