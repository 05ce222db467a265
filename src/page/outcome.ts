/** How the end of a run is shown: a colour and a shape, so that neither alone carries the meaning. */
import type { RunOverview, Severity } from '../overview/index.ts';
import { type Html, html, markup } from './html.ts';

export interface Outcome {
  /** Class of the colour, and name of the shape. */
  readonly mark: 'ok' | 'part' | 'bad' | 'skip' | 'found' | 'run';
  readonly label: string;
}

const OUTCOMES: ReadonlyMap<string, Outcome> = new Map<string, Outcome>([
  ['Succeeded', { mark: 'ok', label: 'Succeeded' }],
  ['Incomplete', { mark: 'part', label: 'Incomplete' }],
  ['Failed', { mark: 'bad', label: 'Failed' }],
  ['Skipped', { mark: 'skip', label: 'Skipped' }],
  ['Corrupt', { mark: 'bad', label: 'Corrupt' }],
  ['Unreadable', { mark: 'part', label: 'Unreadable' }],
  ['Found', { mark: 'found', label: 'Found on the destination' }],
]);

const RUNNING: Outcome = { mark: 'run', label: 'Running' };

export const outcomeOf = ({ phase, completionTime }: RunOverview): Outcome =>
  OUTCOMES.get(phase) ?? (completionTime === undefined ? RUNNING : { mark: 'found', label: phase });

/** The worst first, for cells that stand for several runs. */
export const WORST: readonly Outcome['mark'][] = ['bad', 'part', 'run', 'ok', 'found', 'skip'];

/** One for each shape. */
export const LEGEND: readonly Outcome[] = [...OUTCOMES.values(), RUNNING].filter(
  ({ mark }, index, all) => all.findIndex((other) => other.mark === mark) === index,
);

const SYMBOLS: Readonly<Record<string, string>> = {
  critical:
    '<path d="M5 1h6l4 4v6l-4 4H5l-4-4V5z" fill="currentColor"/><path d="M5.6 5.6l4.8 4.8M10.4 5.6l-4.8 4.8" class="cut"/>',
  warning: '<path d="M8 1.2 15.4 14.6H.6z" fill="currentColor"/><path d="M8 6v4M8 12v.6" class="cut"/>',
  idle: '<circle cx="8" cy="8" r="6.2" fill="none" stroke="currentColor" stroke-width="1.8"/><path d="M6.4 5.6v4.8M9.6 5.6v4.8" stroke="currentColor" stroke-width="1.6" stroke-linecap="round"/>',
  busy: '<circle cx="8" cy="8" r="6.2" fill="none" stroke="currentColor" stroke-width="1.8"/><path d="M8 4.4V8l2.4 1.6" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round"/>',
  ok: '<circle cx="8" cy="8" r="7" fill="currentColor"/><path d="M4.8 8.2l2.2 2.3 4.2-4.6" class="cut"/>',
};

/** The symbols of severities, once in a page; `icon` refers to them. */
export const symbols: Html = markup(
  `<svg width="0" height="0" class="defs" aria-hidden="true" focusable="false">${Object.entries(SYMBOLS)
    .map(([name, shapes]) => `<symbol id="i-${name}" viewBox="0 0 16 16">${shapes}</symbol>`)
    .join('')}</svg>`,
);

/** `busy` is the shape of what has not ended, in the colour of `idle`. */
type Shape = Severity | 'busy';

export const icon = (shape: Shape): Html =>
  html`<svg class="icon" aria-hidden="true" focusable="false"><use href="#i-${shape}"/></svg>`;

/** A state in words, with colour and shape. */
export const badge = (shape: Shape, label: string): Html =>
  html`<span class="badge ${shape === 'busy' ? 'idle' : shape}">${icon(shape)}${label}</span>`;
