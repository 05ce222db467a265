/** What both dashboards are made of. */
import type { Mapping, Panel } from './grafana.ts';

/** From how many on something needs a person. */
export const ANY_IS_BAD = [
  { color: 'green', value: null },
  { color: 'red', value: 1 },
];
export const NONE_IS_BAD = [
  { color: 'red', value: null },
  { color: 'green', value: 1 },
];
const good = (text: string) => ({ text, color: 'green' });
const bad = (text: string) => ({ text, color: 'red' });
export const RUN: Mapping = { '0': bad('not complete'), '1': good('complete') };
export const DONE: Mapping = { '0': bad('failed'), '1': good('succeeded') };
export const AVAILABLE: Mapping = { '0': bad('unavailable'), '1': good('available') };
export const SUSPENDED: Mapping = { '0': { text: 'no' }, '1': { text: 'yes', color: 'orange' } };
/** Colors of the label `result`. */
export const RESULTS = [
  ['success', 'green'],
  ['incomplete', 'orange'],
  ['failure', 'red'],
  ['skipped_lock', 'purple'],
].map(([result, color]) => ({
  matcher: { id: 'byRegexp', options: `/(^|: )${result}$/` },
  properties: [{ id: 'color', value: { mode: 'fixed', fixedColor: color } }],
}));
export const BARS = {
  drawStyle: 'bars',
  fillOpacity: 80,
  lineWidth: 0,
  barAlignment: -1,
  stacking: { mode: 'normal' },
};

/** Of seconds that are left: below zero it is late. */
export const PAST_IS_BAD = [
  { color: 'red', value: null },
  { color: 'green', value: 0 },
];

/** Two replicas may report the same schedule for a moment. */
export const by = (labels: string, expr: string) => `max by (${labels}) (${expr})`;
export const S = 'namespace, schedule';
export const L = 'namespace, schedule, location';

export function metrics(selector: string) {
  const of = (name: string, more = '') => `${name}{${[selector, more].filter(Boolean).join(',')}}`;
  return {
    of: (name: string) => by(S, of(name)),
    copy: (name: string) => by(L, of(name)),
    /**
     * How much a counter grew. Its value before the range is the base: `increase` loses what came between the last
     * scrape before the range and the first in it, which at a full hour is most runs. No restart sets these counters back.
     */
    grown: (name: string, labels: string, range: string) => {
      const before = by(labels, `last_over_time(${of(name)}[1h] offset ${range})`);
      const first = `min by (${labels}) (min_over_time(${of(name)}[${range}]))`;
      return `clamp_min(${by(labels, of(name))} - (${before} or ${first}), 0)`;
    },
  };
}

export const stat = (title: string, expr: string, more: Partial<Panel> = {}): Panel => ({
  title,
  queries: [{ expr }],
  type: 'stat',
  width: 4,
  height: 4,
  ...more,
  options: { graphMode: 'none', colorMode: more.thresholds || more.mapping ? 'value' : 'none' },
});
export const count = (title: string, expr: string, more: Partial<Panel> = {}): Panel =>
  stat(title, `count(${expr}) or vector(0)`, { thresholds: ANY_IS_BAD, decimals: 0, ...more });
export const graph = (title: string, queries: Panel['queries'], more: Partial<Panel> = {}): Panel => ({
  title,
  queries,
  type: 'timeseries',
  width: 12,
  height: 8,
  ...more,
});

export const states = (
  title: string,
  expr: string,
  legend: string,
  mapping: Mapping,
  more: Partial<Panel> = {},
): Panel =>
  graph(title, [{ expr, legend }], {
    type: 'state-timeline',
    mapping,
    options: { showValue: 'auto', rowHeight: 0.8, mergeValues: true },
    ...more,
  });
