/** What draw.ts reads of a dashboard of Grafana, and how Grafana writes and colors its values. Pure. */
import type { Json, PanelType, Threshold } from '../dashboards/grafana.ts';

export interface Field {
  readonly unit?: string;
  readonly decimals?: number;
  readonly noValue?: string;
  readonly displayName?: string;
  readonly thresholds?: { readonly steps: readonly Threshold[] };
  readonly mappings?: readonly {
    readonly options: Readonly<Record<string, { readonly text: string; readonly color?: string }>>;
  }[];
  readonly color?: { readonly mode: string; readonly fixedColor?: string };
  readonly custom?: Json & { readonly drawStyle?: string };
}

export interface Target {
  readonly expr: string;
  readonly legendFormat: string;
  readonly refId: string;
  readonly instant?: boolean;
}

export interface DrawnPanel {
  readonly type: PanelType | 'row';
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly interval?: string;
  readonly fieldConfig: {
    readonly defaults: Field;
    readonly overrides: readonly {
      readonly matcher: { readonly id: string; readonly options: string };
      readonly properties: readonly { readonly id: string; readonly value: unknown }[];
    }[];
  };
  readonly options: Json;
  readonly targets?: readonly Target[];
}

export interface Dashboard {
  readonly title: string;
  readonly time: { readonly from: string };
  readonly templating: { readonly list: readonly { name: string; query: unknown; includeAll?: boolean }[] };
  readonly panels: readonly DrawnPanel[];
}

/** Of Grafana's dark theme. */
const COLORS: Readonly<Record<string, string>> = {
  green: '#73BF69',
  red: '#F2495C',
  orange: '#FF9830',
  purple: '#B877D9',
  text: '#CCCCDC',
};
export const PALETTE = [
  '#73BF69',
  '#F2CC0C',
  '#8AB8FF',
  '#FF780A',
  '#F2495C',
  '#5794F2',
  '#B877D9',
  '#705DA0',
];
export const colorOf = (name: string): string => COLORS[name] ?? name;

/** The settings of one series or column. */
export function fieldFor({ fieldConfig }: DrawnPanel, name: string): Field {
  const matches = ({ id, options }: { id: string; options: string }) =>
    id === 'byRegexp' ? new RegExp(options.slice(1, -1)).test(name) : options === name;
  const properties = fieldConfig.overrides
    .filter(({ matcher }) => matches(matcher))
    .flatMap((one) => one.properties.map(({ id, value }) => [id, value]));
  return { ...fieldConfig.defaults, ...Object.fromEntries(properties) };
}

const number = (value: number, decimals?: number) =>
  decimals === undefined ? String(Number(value.toPrecision(3))) : value.toFixed(decimals);

function scaled(
  value: number,
  steps: readonly (readonly [size: number, name: string])[],
  decimals?: number,
): string {
  const unit = steps.find(([size]) => size === 1)!;
  const [size, name] =
    value === 0 ? unit : (steps.findLast(([least]) => Math.abs(value) >= least) ?? steps[0]!);
  return `${number(value / size, size === 1 ? decimals : undefined)}${name && ` ${name}`}`;
}

const UNITS: Readonly<Record<string, readonly (readonly [number, string])[]>> = {
  short: [
    [1, ''],
    [1e3, 'K'],
    [1e6, 'Mil'],
  ],
  bytes: [
    [1, 'B'],
    [1024, 'KiB'],
    [1024 ** 2, 'MiB'],
    [1024 ** 3, 'GiB'],
  ],
  s: [
    [1e-3, 'ms'],
    [1, 's'],
    [60, 'mins'],
    [3600, 'hours'],
    [86_400, 'days'],
    [604_800, 'weeks'],
  ],
};

export const UNIT_NAMES = Object.keys(UNITS);

/** @throws when the panel has a unit that Grafana would draw and this does not */
export function textOf(value: number, { unit = 'short', decimals, mappings = [] }: Field): string {
  const steps = UNITS[unit];
  if (!steps) throw new Error(`unit ${unit}`);
  return mappings[0]?.options[String(value)]?.text ?? scaled(value, steps, decimals);
}

/** The color of a value by mapping or threshold. */
export function valueColor(value: number, { thresholds, mappings = [] }: Field): string {
  const mapped = mappings[0]?.options[String(value)]?.color;
  const step = thresholds?.steps.findLast(({ value: least }) => least === null || value >= least);
  return colorOf(mapped ?? step?.color ?? 'text');
}

/** The legend of a series: `{{label}}` is the value of the label. */
export const legendOf = (format: string, labels: Readonly<Record<string, string>>): string =>
  format === ''
    ? JSON.stringify(labels)
    : format.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name) => labels[name] ?? '');

/** The text with Grafana's variables filled in. */
export const filled = (text: string, variables: Readonly<Record<string, string>>): string =>
  text.replace(/\$(?:\{(\w+)\}|(\w+))/g, (whole, one, other) => variables[one ?? other] ?? whole);

/** `now-7d` as seconds before now. */
export function secondsOf(duration: string): number {
  const [, count, unit] = /(\d+)([smhd])$/.exec(duration)!;
  return Number(count) * { s: 1, m: 60, h: 3600, d: 86_400 }[unit as 's' | 'm' | 'h' | 'd'];
}
