/** Findings of schedules, with what to do. */
import { type Finding, HEALTHS, type ScheduleOverview } from '../overview/index.ts';
import { when } from './format.ts';
import { type Html, html, prose } from './html.ts';
import { queryOf } from './links.ts';
import { badge } from './outcome.ts';

export const todo = (text: string | undefined): Html | undefined =>
  text === undefined ? undefined : html`<p class="todo"><b>What to do:</b> ${prose(text)}</p>`;

export const healthBadge = (health: Finding['health']): Html =>
  badge(health === 'Pending' ? 'busy' : HEALTHS[health].severity, HEALTHS[health].label);

const item = (
  { health, reason, message, todo: advice, time, object }: Finding,
  head: Html | undefined,
  nowMs: number,
): Html =>
  html`<li><div>${healthBadge(health)}</div><div class="body"><div class="head">${head}<span class="dim"><code>${reason}</code>${time !== undefined && html` ${when(time, nowMs)}`}${object && html`, ${object.kind} ${object.name}`}</span></div>
<p>${message}</p>${todo(advice)}</div></li>`;

export const scheduleName = ({ namespace, name }: ScheduleOverview): Html =>
  html`${namespace !== undefined && html`<span class="dim">${namespace}/</span>`}${name}`;

/** The worst finding of each schedule, with a link to it. */
export const worstFindings = (schedules: readonly ScheduleOverview[], nowMs: number): Html =>
  html`<ul class="findings">${schedules.map((schedule) => {
    const more = schedule.findings.length - 1;
    const head = html`<h3><a href="${queryOf(schedule)}">${scheduleName(schedule)}</a></h3>${more > 0 && html`<span class="dim">and ${more} more</span>`}`;
    return item(schedule.findings[0]!, head, nowMs);
  })}</ul>`;

/** All findings of one schedule. */
export const allFindings = (findings: readonly Finding[], nowMs: number): Html =>
  html`<ul class="findings">${findings.map((finding) => item(finding, undefined, nowMs))}</ul>`;
