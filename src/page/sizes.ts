/** Sizes of archives over time. */
import type { ArchiveOverview, RunOverview } from '../overview/index.ts';
import { bytes, dateAndTime, dayOf } from './format.ts';
import { type Html, html, markup } from './html.ts';

const WIDTH = 1084;
const HEIGHT = 170;
const BOX = { left: 74, right: 12, top: 12, bottom: 24 };

interface Point {
  readonly ms: number;
  readonly value: number;
  readonly name: string;
}

const n = (value: number): string => String(Math.round(value * 10) / 10);

/** The next round number, for the top of the axis. */
function roundUp(value: number): number {
  const unit = 1024 ** Math.floor(Math.log(Math.max(1, value)) / Math.log(1024));
  const scaled = value / unit;
  const steps = [1, 2, 3, 4, 5, 6, 8].flatMap((step) => [step, step * 10, step * 100]).sort((a, b) => a - b);
  return (steps.find((step) => step >= scaled) ?? 1024) * unit;
}

const pointOf = ({ name, time, sizeBytes }: ArchiveOverview): Point | undefined =>
  time === undefined || sizeBytes === undefined || !(sizeBytes >= 0) || !Number.isFinite(sizeBytes)
    ? undefined
    : { ms: Date.parse(time), value: sizeBytes, name };

/** A chart of the archives of these runs; undefined with fewer than two. */
export function sizeChart(runs: readonly RunOverview[]): Html | undefined {
  const points = runs
    .map(({ archive }) => archive && pointOf(archive))
    .filter((point) => point !== undefined)
    .sort((a, b) => a.ms - b.ms);
  const [first, last] = [points[0], points.at(-1)];
  if (!first || !last || first.ms === last.ms) return undefined;
  const top = roundUp(Math.max(...points.map(({ value }) => value)));
  const x = (ms: number) =>
    BOX.left + ((ms - first.ms) / (last.ms - first.ms)) * (WIDTH - BOX.left - BOX.right);
  const y = (value: number) => HEIGHT - BOX.bottom - (value / top) * (HEIGHT - BOX.top - BOX.bottom);
  const line = points
    .map(({ ms, value }, index) => `${index === 0 ? 'M' : 'L'}${n(x(ms))} ${n(y(value))}`)
    .join('');
  const area = `${line}L${n(x(last.ms))} ${n(y(0))}L${n(x(first.ms))} ${n(y(0))}z`;
  const rules = [0, top / 2, top];
  const dots =
    points.length <= 120
      ? points.map(
          ({ ms, value, name }) =>
            html`<circle cx="${n(x(ms))}" cy="${n(y(value))}" r="2.6"><title>${name}: ${bytes(value)}, ${dateAndTime(new Date(ms).toISOString())} UTC</title></circle>`,
        )
      : undefined;
  const summary = `${points.length} archives from ${dayOf(first.ms)} to ${dayOf(last.ms)}: first ${bytes(first.value)}, last ${bytes(last.value)}.`;
  return html`<figure class="sizes"><div class="scroll" tabindex="0" role="region" aria-label="Chart of sizes"><svg viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img" aria-label="Sizes of ${summary}"><g class="axis">${rules.map(
    (value) =>
      html`<path d="M${BOX.left} ${n(y(value))}H${WIDTH - BOX.right}"/><text x="${BOX.left - 8}" y="${n(y(value) + 4)}" text-anchor="end">${value === 0 ? '0' : bytes(value)}</text>`,
  )}<text x="${BOX.left}" y="${HEIGHT - 6}">${dayOf(first.ms)}</text><text x="${WIDTH - BOX.right}" y="${HEIGHT - 6}" text-anchor="end">${dayOf(last.ms)}</text></g><path class="area" d="${markup(area)}"/><path class="line" d="${markup(line)}"/><g class="dots">${dots}</g></svg></div>
<figcaption>${summary}</figcaption></figure>`;
}
