/** Times and amounts in words. */
import { formatBytes, formatSeconds } from '../log/units.ts';
import { type Html, html } from './html.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** `2026-03-20 12:00` in UTC. */
export const dateAndTime = (time: string): string =>
  new Date(time).toISOString().slice(0, 16).replace('T', ' ');

/** `20 Mar` */
export const dayOf = (ms: number): string =>
  new Date(ms).toLocaleDateString('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' });

/** `3 h`, `12 days` */
export function span(ms: number): string {
  const abs = Math.abs(ms);
  if (abs < 45_000) return `${Math.round(abs / 1000)} s`;
  if (abs < 90 * MINUTE_MS) return `${Math.max(1, Math.round(abs / MINUTE_MS))} min`;
  if (abs < 36 * HOUR_MS) return `${Math.round(abs / HOUR_MS)} h`;
  return `${Math.round(abs / DAY_MS)} days`;
}

/** `3 h ago`, `in 12 days`. The exact time is the tooltip. */
export function when(time: string, nowMs: number): Html {
  const ms = Date.parse(time) - nowMs;
  const words = Math.abs(ms) < 5_000 ? 'now' : ms < 0 ? `${span(ms)} ago` : `in ${span(ms)}`;
  return html`<time datetime="${time}" title="${dateAndTime(time)} UTC">${words}</time>`;
}

/** `2026-03-20 12:00 (3 h ago)` */
export const exactly = (time: string, nowMs: number): Html =>
  html`<span class="num">${dateAndTime(time)}</span> <span class="dim">${when(time, nowMs)}</span>`;

export const bytes = (value: number | undefined): string =>
  value === undefined || !Number.isFinite(value) ? '–' : formatBytes(value);

export const seconds = (value: number | undefined): string =>
  value === undefined || !Number.isFinite(value) ? '–' : formatSeconds(value);

/** `1 run`, `1,200 runs` */
export const count = (value: number, one: string, many = `${one}s`): string =>
  `${value.toLocaleString('en')} ${value === 1 ? one : many}`;
