import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  type Dashboard,
  fieldFor,
  filled,
  legendOf,
  textOf,
  UNIT_NAMES,
  valueColor,
} from '../../scripts/dashboard-pictures/model.ts';
import { DRAWINGS } from '../../scripts/dashboard-pictures/panels.ts';
import { PICTURES } from '../../scripts/dashboard-pictures/pictures.ts';
import { SteppedClock } from '../../scripts/dashboard-pictures/stepped-clock.ts';

const ROOT = path.join(import.meta.dirname, '../..');
const readJson = (file: string) => JSON.parse(readFileSync(path.join(ROOT, file), 'utf8'));
/** By picture: panels, and how many series each had. */
const DRAWN = readJson('scripts/dashboard-pictures/drawn.json') as Record<string, Record<string, number>>;

describe.each(PICTURES)('the dashboard $file', ({ file, name, chosen, empty }) => {
  const dashboard = readJson(`charts/km-backup-operator/dashboards/${file}`) as Dashboard;
  const panels = dashboard.panels.filter(({ type }) => type !== 'row');

  it('has only panels and units that the picture shows as Grafana does', () => {
    const types = new Set(panels.map(({ type }) => type));
    expect(Object.keys(DRAWINGS)).toEqual(expect.arrayContaining([...types]));
    const units = panels.flatMap((panel) => [
      panel.fieldConfig.defaults.unit,
      ...panel.fieldConfig.overrides.map(({ matcher }) => fieldFor(panel, matcher.options).unit),
    ]);
    expect(UNIT_NAMES).toEqual(expect.arrayContaining([...new Set(units)]));
  });

  it('is in its picture with every panel, each with data or rightly empty', () => {
    const drawn = DRAWN[name]!;
    expect(Object.keys(drawn).toSorted(), 'draw the pictures again').toEqual(
      panels.map(({ title }) => title).toSorted(),
    );
    const withoutData = Object.keys(drawn).filter((title) => drawn[title] === 0);
    expect(Object.keys(empty)).toEqual(expect.arrayContaining(withoutData));
  });

  it('gives each panel a title of its own', () => {
    expect(new Set(panels.map(({ title }) => title)).size).toBe(panels.length);
  });

  it('leaves no variable open', () => {
    const known = Object.fromEntries(
      dashboard.templating.list.map((one) => [one.name, one.includeAll ? '.*' : chosen[one.name]!]),
    );
    const open = panels.flatMap(({ targets = [] }) =>
      targets.filter(({ expr }) => filled(expr, known).includes('$')),
    );
    expect(open).toEqual([]);
  });

  it('asks for the last value where it shows one, and for a range where it shows a course', () => {
    for (const { type, title, targets = [] } of panels) {
      const isInstant = type === 'stat' || type === 'table';
      expect(
        targets.every(({ instant = false }) => instant === isInstant),
        title,
      ).toBe(true);
    }
  });
});

describe('a value on a dashboard', () => {
  it.each([
    [0, {}, '0'],
    [1234, {}, '1.23 K'],
    [12.4, { decimals: 0 }, '12'],
    [0, { unit: 's' }, '0 s'],
    [0.25, { unit: 's' }, '250 ms'],
    [90, { unit: 's' }, '1.5 mins'],
    [-7200, { unit: 's' }, '-2 hours'],
    [86_400, { unit: 's' }, '1 days'],
    [1536, { unit: 'bytes' }, '1.5 KiB'],
    [1, { mappings: [{ options: { 1: { text: 'complete' } } }] }, 'complete'],
  ])('%d with %j is %s', (value, field, text) => expect(textOf(value, field)).toBe(text));

  it('has the color of its mapping, else of the last threshold that it reaches', () => {
    const thresholds = {
      steps: [
        { color: '#111', value: null },
        { color: '#222', value: 0 },
      ],
    };
    const mappings = [{ options: { 1: { text: 'complete', color: '#333' } } }];
    expect([-1, 0, 1].map((value) => valueColor(value, { thresholds, mappings }))).toEqual([
      '#111',
      '#222',
      '#333',
    ]);
  });

  it('has a unit that is known', () => expect(() => textOf(1, { unit: 'furlongs' })).toThrow('furlongs'));

  it('has a legend of its labels', () =>
    expect(legendOf('{{namespace}}/{{schedule}}: waits', { namespace: 'shop', schedule: 'orders' })).toBe(
      'shop/orders: waits',
    ));
});

describe('a stepped clock', () => {
  it('turns times of the machine into its own, and leaves its own as they are', () => {
    const startMs = Date.parse('2026-01-01T00:00:00Z');
    const clock = new SteppedClock(startMs);
    const own = new Date(startMs).toISOString();
    // The second in which the clock started began before it.
    const machine = new Date(Date.now() + 1_000).toISOString();
    const translated = clock.translate(`{"a":"${own}","b":"${machine}"}`);
    expect(translated).toMatch(/^\{"a":"2026-01-01T00:00:00\.000Z","b":"2026-01-01T00:00:0\d\.\d{3}Z"\}$/);
  });

  it('runs on after a step, and wakes who waits for one', () => {
    const clock = new SteppedClock(0);
    let woken = 0;
    clock.after(5_000, () => woken++);
    const cancel = clock.after(5_000, () => woken++);
    clock.step(86_400_000);
    cancel();
    clock.wake();
    clock.wake();
    expect(woken).toBe(1);
    expect(clock.now()).toBeGreaterThanOrEqual(86_400_000);
  });
});
