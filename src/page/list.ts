/** The page of all schedules. */
import type { HttpAnswer } from '../health/index.ts';
import {
  HEALTH_ORDER,
  HEALTHS,
  type Health,
  type Overview,
  type ScheduleOverview,
} from '../overview/index.ts';
import { documentOf } from './document.ts';
import { healthBadge, scheduleName, worstFindings } from './findings.ts';
import { bytes, count, dateAndTime, seconds, when } from './format.ts';
import { type Html, html } from './html.ts';
import { query, queryOf } from './links.ts';
import { icon } from './outcome.ts';
import { coverageSection, locationsSection, restoresSection } from './sections.ts';
import { legend, MINI_PER_DAY, miniTimeline } from './timeline.ts';

/** Rows of one page. */
export const PAGE_SIZE = 200;
/** More findings are only in the table. */
const MAX_FINDINGS = 10;
/** More namespaces are not offered in a list. */
const MAX_NAMESPACES = 300;

export interface Filter {
  q: string;
  health: string;
  namespace: string;
  page: number;
}

export function filterOf(url: URL): Filter {
  const text = (name: string) => (url.searchParams.get(name) ?? '').slice(0, 300);
  const page = Number(text('page'));
  return {
    q: text('q').trim(),
    health: text('health'),
    namespace: text('namespace'),
    page: Number.isSafeInteger(page) && page > 0 ? page : 1,
  };
}

export function matches({ q, health, namespace }: Filter): (schedule: ScheduleOverview) => boolean {
  const words = q.toLowerCase().split(/\s+/).filter(Boolean);
  return (schedule) => {
    if (namespace !== '' && schedule.namespace !== namespace) return false;
    if (health === 'attention') {
      if (!needsAttention(schedule)) return false;
    } else if (health !== '' && schedule.health !== health) return false;
    if (words.length === 0) return true;
    const findings = schedule.findings.map(({ reason, message }) => `${reason} ${message}`).join(' ');
    const text =
      `${schedule.namespace ?? ''}/${schedule.name} ${schedule.source.claimName ?? ''} ${HEALTHS[schedule.health].label} ${findings}`.toLowerCase();
    return words.every((word) => text.includes(word));
  };
}

const severityOf = (health: Health) => HEALTHS[health].severity;
const needsAttention = ({ health }: ScheduleOverview) =>
  severityOf(health) === 'critical' || severityOf(health) === 'warning';

function verdict({ schedules, health, totals }: Overview): Html {
  const bad = schedules.filter(needsAttention).length;
  const severity = totals.schedules === 0 ? 'idle' : severityOf(health);
  const words =
    totals.schedules === 0
      ? 'There are no schedules yet.'
      : bad > 0
        ? `${bad.toLocaleString('en')} of ${count(totals.schedules, 'schedule')} ${bad === 1 ? 'needs' : 'need'} attention.`
        : severity === 'ok'
          ? totals.schedules === 1
            ? 'The schedule is healthy.'
            : `All ${count(totals.schedules, 'schedule')} are healthy.`
          : 'Nothing is wrong; some schedules are suspended, or have not run yet.';
  return html`<p class="verdict ${severity}">${icon(severity)}<strong>${words}</strong></p>`;
}

const tile = (
  value: Html | string,
  label: string,
  { href, tone }: { href?: string; tone?: string | false } = {},
): Html => {
  const inner = html`<b>${value}</b><span>${label}</span>`;
  const classes = `tile ${tone || ''}`;
  return href === undefined
    ? html`<li><div class="${classes}">${inner}</div></li>`
    : html`<li><a class="${classes}" href="${href}">${inner}</a></li>`;
};

function tiles({ schedules, counts, totals, coverage }: Overview): Html {
  const bad = schedules.filter(needsAttention).length;
  const claims = coverage?.claims.length ?? 0;
  return html`<ul class="tiles">${[
    tile(bad.toLocaleString('en'), bad === 1 ? 'needs attention' : 'need attention', {
      ...(bad > 0 && { href: `${query({ health: 'attention' })}#schedules` }),
      tone: bad > 0 && 'critical',
    }),
    tile((counts.OK ?? 0).toLocaleString('en'), 'healthy', {
      href: `${query({ health: 'OK' })}#schedules`,
      tone: (counts.OK ?? 0) > 0 && 'ok',
    }),
    tile(totals.running.toLocaleString('en'), totals.running === 1 ? 'run under way' : 'runs under way'),
    tile(bytes(totals.bytes), `in ${count(totals.archives, 'archive')}`),
    coverage &&
      tile(`${coverage.protected} of ${claims}`, 'claims backed up', {
        href: '#coverage',
        tone: claims > coverage.protected && 'warning',
      }),
  ]}</ul>`;
}

function filterForm(overview: Overview, filter: Filter, shown: number, complete: boolean): Html {
  const namespaces = [...new Set(overview.schedules.map(({ namespace }) => namespace))]
    .filter((namespace) => namespace !== undefined)
    .sort();
  const option = (value: string, label: string, chosen: string) =>
    html`<option value="${value}"${value === chosen && html` selected`}>${label}</option>`;
  const healths = HEALTH_ORDER.filter((health) => overview.counts[health]);
  return html`<form class="filter" method="get" action="#schedules" role="search" aria-label="Schedules" data-complete="${complete ? 'yes' : 'no'}">
<div class="grow"><label for="q">Find</label><input id="q" name="q" type="search" value="${filter.q}" placeholder="name, claim or reason" autocomplete="off"></div>
<div><label for="health">State</label><select id="health" name="health">${option('', 'any', filter.health)}${option('attention', 'needs attention', filter.health)}${healths.map((health) => option(health, `${HEALTHS[health].label} (${overview.counts[health]})`, filter.health))}</select></div>
${namespaces.length > 1 && namespaces.length <= MAX_NAMESPACES && html`<div><label for="namespace">Namespace</label><select id="namespace" name="namespace">${option('', 'all', filter.namespace)}${namespaces.map((namespace) => option(namespace, namespace, filter.namespace))}</select></div>`}
<div><button>Show</button></div>
<output class="shown" for="q" aria-live="polite">${shown.toLocaleString('en')} of ${overview.schedules.length.toLocaleString('en')} shown</output>
</form>`;
}

/** Whether to tell when the last success was, besides the last run. */
const differs = ({ lastRun, lastSuccess }: ScheduleOverview) =>
  lastRun?.phase !== 'Succeeded' || (lastSuccess?.name !== undefined && lastSuccess.name !== lastRun.name);

function lastRun(schedule: ScheduleOverview, nowMs: number): Html {
  const { lastRun: last, lastSuccess, running } = schedule;
  const active =
    running[0] &&
    html`<span class="sub">${running[0].phase === 'Running' ? 'running' : 'waiting'} since ${when(running[0].startTime ?? running[0].time, nowMs)}</span>`;
  if (!last) return html`<span><span class="dim">none</span>${active}</span>`;
  const good =
    differs(schedule) &&
    html`<span class="sub">${lastSuccess ? html`last success ${when(lastSuccess.time, nowMs)}` : 'no success yet'}</span>`;
  return html`<span>${when(last.completionTime ?? last.time, nowMs)}${last.durationSeconds !== undefined && html` <span class="dim">· ${seconds(last.durationSeconds)}</span>`}${good}${active}</span>`;
}

function copiesCell({ copies }: ScheduleOverview, nowMs: number): Html | undefined {
  const wanted = (copies ?? []).filter((copy) => copy.wanted);
  if (wanted.length === 0) return undefined;
  const times = wanted.map(({ lastSuccess }) => lastSuccess).filter((time) => time !== undefined);
  const oldest = times.sort()[0];
  const words =
    oldest === undefined || times.length < wanted.length
      ? html`<span class="dim">none yet</span>`
      : when(oldest, nowMs);
  return html`<span>${words}<span class="sub">${wanted.length === 1 ? wanted[0]!.location : count(wanted.length, 'location')}</span></span>`;
}

function drillCell({ drill }: ScheduleOverview, nowMs: number): Html | undefined {
  if (!drill?.last) return undefined;
  const { last } = drill;
  return last.phase === 'Succeeded'
    ? html`<span>${when(last.time, nowMs)}<span class="sub">restored</span></span>`
    : html`<span>${when(last.time, nowMs)}<span class="sub">${last.phase}</span></span>`;
}

const cell = (label: string, content: Html | undefined, classes = ''): Html =>
  html`<td role="cell" class="${classes}${content === undefined && ' none'}" data-label="${label}">${content ?? html`<span class="dim">–</span>`}</td>`;

function row(schedule: ScheduleOverview, columns: Columns, nowMs: number): Html {
  const { archives, nextTime, health, findings } = schedule;
  const reason =
    findings[0] && severityOf(health) !== 'idle' && html`<span class="sub">${findings[0].reason}</span>`;
  return html`<tr role="row"><td role="cell" class="state">${healthBadge(health)}</td>
<td role="cell" class="name"><a href="${queryOf(schedule)}">${scheduleName(schedule)}</a>${reason}</td>
<td role="cell" class="strip">${miniTimeline(schedule.runs, nowMs)}</td>
${cell('Last run', lastRun(schedule, nowMs))}
${cell('Next run', nextTime === undefined ? undefined : html`<span>${when(nextTime, nowMs)}</span>`)}
${cell('Archives', archives && html`<span><span class="num">${archives.count.toLocaleString('en')}</span><span class="sub num">${bytes(archives.bytes)}</span></span>`)}
${columns.copies && cell('Copies', copiesCell(schedule, nowMs), 'wide')}
${columns.drills && cell('Last drill', drillCell(schedule, nowMs), 'wide')}</tr>
`;
}

interface Columns {
  copies: boolean;
  drills: boolean;
}

function schedulesTable(schedules: readonly ScheduleOverview[], columns: Columns, nowMs: number): Html {
  const heads = ['State', 'Schedule', 'Last 30 days', 'Last run', 'Next run', 'Archives'];
  return html`<table class="schedules cards" role="table" aria-labelledby="schedules"><thead role="rowgroup"><tr role="row">${heads.map((head) => html`<th role="columnheader" scope="col">${head}</th>`)}${columns.copies && html`<th role="columnheader" scope="col" class="wide">Copies</th>`}${columns.drills && html`<th role="columnheader" scope="col" class="wide">Last drill</th>`}</tr></thead>
<tbody role="rowgroup">${schedules.map((schedule) => row(schedule, columns, nowMs))}</tbody></table>`;
}

function pages(filter: Filter, total: number): Html | undefined {
  const last = Math.max(1, Math.ceil(total / PAGE_SIZE));
  if (last === 1) return undefined;
  const { q, health, namespace, page } = filter;
  const link = (to: number, label: string) =>
    to >= 1 &&
    to <= last &&
    html`<a href="${query({ q, health, namespace, page: to })}#schedules">${label}</a>`;
  return html`<nav class="pages" aria-label="Pages">${link(page - 1, 'Previous page')}<span>Page ${page} of ${last}</span>${link(page + 1, 'Next page')}</nav>`;
}

function schedulesSection(overview: Overview, filter: Filter, nowMs: number): Html {
  if (overview.schedules.length === 0)
    return html`<section><h2 id="schedules">Schedules</h2><p class="empty">Nothing is backed up yet. Create a KmBackupSchedule to start.</p></section>`;
  const found = overview.schedules.filter(matches(filter));
  const page = Math.min(filter.page, Math.max(1, Math.ceil(found.length / PAGE_SIZE)));
  const shown = found.slice((page - 1) * PAGE_SIZE, page * PAGE_SIZE);
  const columns = {
    copies: overview.schedules.some(({ copies }) => copies !== undefined),
    drills: overview.schedules.some(({ drill }) => drill !== undefined),
  };
  // Rows can be filtered in the browser only if all of them are there.
  const complete = shown.length === overview.schedules.length;
  return html`<section><h2 id="schedules">Schedules</h2>
${overview.schedules.length > 1 && filterForm(overview, filter, shown.length, complete)}
${shown.length > 0 ? schedulesTable(shown, columns, nowMs) : html`<p class="empty">No schedule matches. <a href=".">Show all</a></p>`}
${pages({ ...filter, page }, found.length)}
${legend()}<p class="dim after">Records of runs are kept as long as their archives, and a few failures more. A cell is one run; a day with more than ${MINI_PER_DAY} runs shows the worst of neighbours.</p></section>`;
}

export interface Frame {
  /** What is being shown, for the title. */
  readonly subject: string;
  /** A sentence below the title. */
  readonly note?: string;
}

export function listPage(overview: Overview, url: URL, frame: Frame): HttpAnswer {
  const nowMs = Date.parse(overview.time);
  const filter = filterOf(url);
  const bad = overview.schedules.filter(needsAttention);
  const attention = bad.length > 0;
  const first = html`<div class="top"><h1>${frame.subject}</h1><span class="dim num">${dateAndTime(overview.time)} UTC</span></div>
${verdict(overview)}${frame.note !== undefined && html`<p class="dim">${frame.note}</p>`}${tiles(overview)}`;
  const main = html`${attention && html`<section><h2>Needs attention</h2>${worstFindings(bad.slice(0, MAX_FINDINGS), nowMs)}${bad.length > MAX_FINDINGS && html`<p class="pages"><a href="${query({ health: 'attention' })}#schedules">All ${bad.length}</a></p>`}</section>`}
${schedulesSection(overview, filter, nowMs)}
${restoresSection(overview.restores, nowMs)}
${locationsSection(overview.locations, nowMs)}
${coverageSection(overview.coverage, nowMs)}`;
  const title = bad.length > 0 ? `(${bad.length}) ${frame.subject}` : frame.subject;
  return documentOf({ title, header: first, main, json: '' });
}
