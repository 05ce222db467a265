/** Panels of a dashboard as HTML, as Grafana would draw them. What needs uPlot is left as a plot for the browser. */
import { escapeHtml } from '../../src/page/html.ts';
import type { PanelType } from '../dashboards/grafana.ts';
import {
  colorOf,
  type DrawnPanel,
  type Field,
  fieldFor,
  legendOf,
  PALETTE,
  type Target,
  textOf,
  valueColor,
} from './model.ts';

export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  /** One for an instant query. */
  readonly values: readonly (readonly [seconds: number, value: string])[];
}
export interface Answer {
  readonly target: Target;
  readonly series: readonly Series[];
}
export interface Span {
  readonly from: number;
  readonly to: number;
  readonly step: number;
}
interface Plot {
  readonly data: (number | null)[][];
  readonly colors: readonly string[];
  readonly bars: boolean;
  readonly field: Field;
  readonly names: readonly string[];
  readonly from: number;
  readonly to: number;
  readonly ticks: { readonly at: readonly number[]; readonly texts: readonly string[] };
}

type Drawing = (panel: DrawnPanel, answers: readonly Answer[], span: Span) => { html: string; plot?: Plot };

const empty = ({ fieldConfig }: DrawnPanel) => ({
  html: `<div class="none">${escapeHtml(fieldConfig.defaults.noValue ?? 'No data')}</div>`,
});

const stat: Drawing = (panel, answers) => {
  const value = answers[0]?.series[0]?.values.at(-1)?.[1];
  if (value === undefined)
    return { html: `<div class="stat">${escapeHtml(panel.fieldConfig.defaults.noValue ?? 'No data')}</div>` };
  const field = panel.fieldConfig.defaults;
  const color = panel.options['colorMode'] === 'none' ? colorOf('text') : valueColor(Number(value), field);
  return {
    html: `<div class="stat" style="color:${color}">${escapeHtml(textOf(Number(value), field))}</div>`,
  };
};

const table: Drawing = (panel, answers) => {
  const rows = new Map<string, { labels: Readonly<Record<string, string>>; values: Map<string, number> }>();
  for (const { target, series } of answers) {
    for (const { metric, values } of series) {
      const key = JSON.stringify(Object.entries(metric).sort());
      const row = rows.get(key) ?? { labels: metric, values: new Map() };
      rows.set(key, row);
      row.values.set(`Value #${target.refId}`, Number(values.at(-1)![1]));
    }
  }
  const names = [...new Set([...rows.values()].flatMap(({ labels }) => Object.keys(labels)))];
  const columns = answers.map(({ target }) => `Value #${target.refId}`);
  const [order] = (panel.options['sortBy'] ?? []) as readonly { displayName: string; desc: boolean }[];
  const sortBy = columns.find((column) => fieldFor(panel, column).displayName === order?.displayName);
  const keyOf = ({ values }: { values: Map<string, number> }) =>
    values.get(sortBy ?? '') ?? Number.POSITIVE_INFINITY;
  const sorted = [...rows.values()].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
  const cell = (value: number | undefined, column: string) => {
    if (value === undefined) return '<td></td>';
    const field = fieldFor(panel, column);
    const color = 'custom.cellOptions' in field ? valueColor(value, field) : colorOf('text');
    return `<td style="color:${color}">${escapeHtml(textOf(value, field))}</td>`;
  };
  const head = [...names, ...columns.map((column) => fieldFor(panel, column).displayName ?? column)];
  const body = sorted.map(
    ({ labels, values }) =>
      `<tr>${names.map((name) => `<td>${escapeHtml(labels[name] ?? '')}</td>`).join('')}${columns.map((column) => cell(values.get(column), column)).join('')}</tr>`,
  );
  return {
    html: `<table><tr>${head.map((name) => `<th>${escapeHtml(name)}</th>`).join('')}</tr>${body.join('')}</table>`,
  };
};

const legend = (names: readonly string[], colors: readonly string[]) =>
  `<div class="legend">${names.map((name, index) => `<span><i style="background:${colors[index]}"></i>${escapeHtml(name)}</span>`).join('')}</div>`;

/** Round values for the axis, in the steps that suit the unit. */
function ticksOf(most: number, least: number, { unit = 'short', decimals }: Field): number[] {
  const units = {
    bytes: [1024 ** 3, 1024 ** 2, 1024, 1],
    s: [604_800, 86_400, 3600, 60, 1, 1e-3],
    short: [1],
  }[unit] ?? [1];
  const base = units.find((size) => most >= size) ?? units.at(-1)!;
  const rough = most > least ? (most - least) / 4 / base : 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const size = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10) * base;
  const step = decimals === 0 ? Math.max(1, size) : size;
  const first = Math.floor(least / step);
  return Array.from(
    { length: Math.max(1, Math.ceil(most / step) - first) + 1 },
    (_, index) => (first + index) * step,
  );
}

const timeseries: Drawing = (panel, answers, { from, to, step }) => {
  const times = Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, index) => from + index * step);
  const lines = answers.flatMap(({ target, series }) =>
    series.map(({ metric, values }) => {
      const at = new Map(values.map(([time, value]) => [Math.round(time), Number(value)]));
      const ys = times.map((time) => at.get(Math.round(time)) ?? null);
      return {
        name: legendOf(target.legendFormat, metric),
        ys: ys.map((y) => (Number.isFinite(y) ? y : null)),
      };
    }),
  );
  if (lines.every(({ ys }) => ys.every((y) => y === null))) return empty(panel);
  const colors = lines.map(({ name }, index) =>
    colorOf(fieldFor(panel, name).color?.fixedColor ?? PALETTE[index % PALETTE.length]!),
  );
  const field = panel.fieldConfig.defaults;
  const bars = field.custom?.drawStyle === 'bars';
  const ys = lines.map((line) => line.ys);
  // Stacked: each one stands on those before it, and the tallest is drawn first.
  if (bars)
    for (let line = 1; line < ys.length; line++)
      ys[line] = ys[line]!.map((y, at) => (y ?? 0) + (ys[line - 1]![at] ?? 0));
  const all = ys.flat().filter((y) => y !== null);
  const at = ticksOf(Math.max(...all, 0), Math.min(...all, 0), field);
  const names = lines.map(({ name }) => name);
  const order = bars ? ys.map((_, index) => ys.length - 1 - index) : ys.map((_, index) => index);
  return {
    html: `<div class="plot"></div>${legend(names, colors)}`,
    plot: {
      data: [times, ...order.map((index) => ys[index]!)],
      colors: order.map((index) => colors[index]!),
      bars,
      field,
      names,
      from,
      to,
      ticks: { at, texts: at.map((value) => textOf(value, field)) },
    },
  };
};

const stateTimeline: Drawing = (panel, answers, { from, to, step }) => {
  const rows = answers.flatMap(({ target, series }) =>
    series.map(({ metric, values }) => ({ name: legendOf(target.legendFormat, metric), values })),
  );
  if (rows.length === 0) return empty(panel);
  const field = panel.fieldConfig.defaults;
  const share = (seconds: number) => `${(100 * seconds) / (to - from)}%`;
  const bars = rows.map(({ name, values }) => {
    const parts: { start: number; end: number; value: number }[] = [];
    for (const [time, text] of values) {
      const last = parts.at(-1);
      if (last && last.value === Number(text) && time - last.end < 1) last.end = time + step;
      else parts.push({ start: time, end: time + step, value: Number(text) });
    }
    const drawn = parts.map(({ start, end, value }) => {
      const width = Math.min(end, to) - start;
      const text = width > (to - from) / 14 ? escapeHtml(textOf(value, field)) : '';
      return `<b style="left:${share(start - from)};width:${share(width)};background:${valueColor(value, field)}">${text}</b>`;
    });
    return `<div class="state"><span>${escapeHtml(name)}</span><div>${drawn.join('')}</div></div>`;
  });
  const hours = Array.from({ length: 7 }, (_, index) =>
    new Date((from + ((to - from) * index) / 7) * 1000).toISOString(),
  );
  const axis = hours
    .map((time) => `<span>${time.slice(5, 10).replace('-', '/')} ${time.slice(11, 16)}</span>`)
    .join('');
  return {
    html: `<div class="states">${bars.join('')}<div class="state axis"><span></span><div>${axis}</div></div></div>`,
  };
};

export const DRAWINGS: Readonly<Record<PanelType, Drawing>> = {
  stat,
  table,
  timeseries,
  'state-timeline': stateTimeline,
};
