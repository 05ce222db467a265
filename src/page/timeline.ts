/** Thirty days of runs: a column a day, a cell a run. */
import type { RunOverview } from '../overview/index.ts';
import { count, dateAndTime, dayOf, seconds } from './format.ts';
import { type Html, html, markup } from './html.ts';
import { LEGEND, type Outcome, outcomeOf, WORST } from './outcome.ts';

export const DAYS = 30;
const DAY_MS = 86_400_000;

interface Cell {
  readonly mark: Outcome['mark'];
  readonly title: string;
}

export interface Timeline {
  readonly startMs: number;
  /** Cells of each day, the oldest first. */
  readonly days: readonly (readonly Cell[])[];
  /** How many runs of each outcome, in words. */
  readonly summary: string;
  /** Whether some cells stand for several runs. */
  readonly merged: boolean;
}

const cellOf = (run: RunOverview): Cell => {
  const { mark, label } = outcomeOf(run);
  const reason = mark === 'ok' || run.reason === undefined ? '' : ` (${run.reason})`;
  const took = run.durationSeconds === undefined ? '' : `, ${seconds(run.durationSeconds)}`;
  return { mark, title: `${dateAndTime(run.time)} UTC: ${label}${reason}${took}` };
};

/** At most so many cells: neighbours share one, which shows the worst of them. */
function merge(cells: readonly Cell[], most: number): Cell[] {
  const size = Math.ceil(cells.length / most);
  return Array.from({ length: Math.ceil(cells.length / size) }, (_, index) => {
    const part = cells.slice(index * size, (index + 1) * size);
    const mark = WORST.find((worst) => part.some((cell) => cell.mark === worst)) ?? 'ok';
    return {
      mark,
      title: `${count(part.length, 'run')}, the worst: ${part.find((cell) => cell.mark === mark)!.title}`,
    };
  });
}

/** @param mostPerDay A day with more runs than this shows fewer cells. */
export function timelineOf(runs: readonly RunOverview[], nowMs: number, mostPerDay: number): Timeline {
  const startMs = (Math.floor(nowMs / DAY_MS) - DAYS + 1) * DAY_MS;
  const days: Cell[][] = Array.from({ length: DAYS }, () => []);
  const counts = new Map<string, number>();
  for (const run of runs) {
    const day = Math.floor((Date.parse(run.time) - startMs) / DAY_MS);
    if (!(day >= 0 && day < DAYS)) continue;
    days[day]!.push(cellOf(run));
    const { label } = outcomeOf(run);
    counts.set(label, (counts.get(label) ?? 0) + 1);
  }
  const busiest = Math.max(...days.map((cells) => cells.length));
  const words = [...counts].map(([label, runs]) => `${runs} ${label.toLowerCase()}`);
  const summary = words.length > 0 ? words.join(', ') : 'no runs recorded';
  const merged = busiest > mostPerDay;
  return {
    startMs,
    days: merged ? days.map((cells) => (cells.length === 0 ? [] : merge(cells, mostPerDay))) : days,
    summary,
    merged,
  };
}

const n = (value: number): string => String(Math.round(value * 100) / 100);

/** Path of one cell in a box. Every outcome has a shape of its own. */
function shape(mark: Cell['mark'], x: number, y: number, width: number, height: number): string {
  const [cx, cy] = [x + width / 2, y + height / 2];
  const half = Math.min(Math.max(width, 6), height, 11) / 2;
  const circle = (r: number) =>
    `M${n(cx - r)} ${n(cy)}a${n(r)} ${n(r)} 0 1 0 ${n(2 * r)} 0a${n(r)} ${n(r)} 0 1 0 ${n(-2 * r)} 0z`;
  const rect = (left: number, top: number, w: number, h: number) =>
    `M${n(left)} ${n(top)}h${n(w)}v${n(h)}h${n(-w)}z`;
  switch (mark) {
    case 'ok':
      return rect(x, y, width, height);
    case 'part':
      return `M${n(cx)} ${n(cy - half)}l${n(half)} ${n(2 * half)}h${n(-2 * half)}z`;
    case 'bad':
      return `M${n(cx - half)} ${n(cy - half)}l${n(2 * half)} ${n(2 * half)}M${n(cx + half)} ${n(cy - half)}l${n(-2 * half)} ${n(2 * half)}`;
    case 'run':
      return circle(half * 0.8);
    case 'skip':
      return circle(Math.min(half, 1.6));
    case 'found':
      return rect(x + 0.6, y + 0.6, Math.max(width - 1.2, 0.4), Math.max(height - 1.2, 0.4));
  }
}

const MINI = { day: 9, gap: 1.5, height: 18, cell: 11 };
/** More than this many runs a day are merged in a row of the list. */
export const MINI_PER_DAY = 4;

/** One row of cells, for a list. */
export function miniTimeline(runs: readonly RunOverview[], nowMs: number): Html {
  const { days, summary } = timelineOf(runs, nowMs, MINI_PER_DAY);
  const { day, gap, height, cell } = MINI;
  const paths = new Map<Cell['mark'], string>();
  days.forEach((cells, index) => {
    const width = (day - gap) / Math.max(1, cells.length);
    cells.forEach(({ mark }, position) => {
      const space = cells.length > 1 ? 0.6 : 0;
      const d = shape(mark, index * day + position * width, (height - cell) / 2, width - space, cell);
      paths.set(mark, (paths.get(mark) ?? '') + d);
    });
  });
  const empty = days
    .map((cells, index) =>
      cells.length === 0 ? `M${n(index * day + (day - gap) / 2 - 1)} ${height / 2}h2` : '',
    )
    .join('');
  return html`<svg class="mini" viewBox="0 0 ${DAYS * day} ${height}" role="img" aria-label="Last ${DAYS} days: ${summary}"><path class="none" d="${markup(empty)}"/>${WORST.toReversed().map(
    (mark) => paths.has(mark) && html`<path class="c-${mark}" d="${markup(paths.get(mark)!)}"/>`,
  )}</svg>`;
}

const FULL = { day: 36, gap: 3, left: 2, top: 4, axis: 20 };
/** More than this many runs a day are merged on the page of a schedule. */
export const FULL_PER_DAY = 48;

/** The whole calendar, for the page of one schedule: a cell a run, each with a tooltip. */
export function calendar(runs: readonly RunOverview[], nowMs: number): Html {
  const { days, summary, startMs, merged } = timelineOf(runs, nowMs, FULL_PER_DAY);
  const { day, gap, left, top, axis } = FULL;
  const rows = Math.max(1, ...days.map((cells) => cells.length));
  const cell = rows <= 2 ? 20 : rows <= 6 ? 14 : rows <= 12 ? 9 : 5;
  const step = cell + (cell > 8 ? 3 : 1);
  const height = top + rows * step + axis;
  const bottom = height - axis;
  const width = left * 2 + DAYS * day;
  const cells = days.flatMap((list, index) =>
    list.map(({ mark, title }, row) => {
      const d = shape(mark, left + index * day, bottom - (row + 1) * step, day - gap, cell);
      return html`<path class="c-${mark}" d="${markup(d)}"><title>${title}</title></path>`;
    }),
  );
  const labels = days.map((_, index) => {
    const isLast = index === DAYS - 1;
    if (!isLast && (DAYS - 1 - index) % 5 !== 0) return undefined;
    const x = left + index * day + (day - gap) / 2;
    return html`<text x="${x}" y="${height - 5}" text-anchor="${isLast ? 'end' : 'middle'}"${isLast && markup(` dx="${(day - gap) / 2}"`)}>${isLast ? 'today' : dayOf(startMs + index * DAY_MS)}</text>`;
  });
  const empty = days
    .map((list, index) =>
      list.length === 0 ? `M${left + index * day + (day - gap) / 2 - 2} ${bottom - step / 2}h4` : '',
    )
    .join('');
  return html`<figure class="calendar"><div class="scroll" tabindex="0" role="region" aria-label="Timeline"><svg viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="Last ${DAYS} days: ${summary}"><path class="none" d="${markup(empty)}"/>${cells}<g class="axis">${labels}</g></svg></div>
<figcaption>Last ${DAYS} days, in UTC: ${summary}.${merged && ' Busy days show fewer cells than runs: each cell shows the worst of its runs.'}</figcaption></figure>`;
}

/** What the shapes mean. */
export function legend(): Html {
  const items = LEGEND.map(
    ({ mark, label }) =>
      html`<li><svg viewBox="0 0 12 12" width="12" height="12" aria-hidden="true" focusable="false"><path class="c-${mark}" d="${markup(shape(mark, 2, 0.5, 8, 11))}"/></svg> ${label}</li>`,
  );
  return html`<ul class="legend" aria-label="Meaning of the cells">${items}<li><svg viewBox="0 0 12 12" width="12" height="12" aria-hidden="true" focusable="false"><path class="none" d="M4 6h4"/></svg> no record kept</li></ul>`;
}
