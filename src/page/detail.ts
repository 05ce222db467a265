/** The page of one schedule. */
import type { HttpAnswer } from '../health/index.ts';
import type { CopyOverview, Overview, RunOverview, ScheduleOverview } from '../overview/index.ts';
import { documentOf } from './document.ts';
import { allFindings, healthBadge, scheduleName, todo } from './findings.ts';
import { bytes, count, dateAndTime, exactly, seconds, when } from './format.ts';
import { type Html, html } from './html.ts';
import { query, queryOf } from './links.ts';
import type { Frame } from './list.ts';
import { badge, outcomeOf } from './outcome.ts';
import { restoresSection } from './sections.ts';
import { sizeChart } from './sizes.ts';
import { calendar, legend } from './timeline.ts';

/** More runs than this are listed only on request. */
const MAX_ROWS = 50;

const fact = (term: string, content: Html | string | undefined): Html | undefined =>
  content === undefined ? undefined : html`<div><dt>${term}</dt><dd>${content}</dd></div>`;

const placeOf = ({ claimName, path }: ScheduleOverview['source']): string =>
  claimName === undefined
    ? (path ?? '')
    : path === undefined
      ? `claim ${claimName}`
      : `claim ${claimName}, folder ${path}`;

function facts(schedule: ScheduleOverview, nowMs: number): Html {
  const { totals, archives, lastRun, lastSuccess, nextTime, successDue, drill } = schedule;
  const time = (text: string | undefined) => (text === undefined ? undefined : exactly(text, nowMs));
  const missed =
    totals.missed > 0
      ? html`${totals.missed.toLocaleString('en')}${schedule.lastMissedTime !== undefined && html`, the last ${when(schedule.lastMissedTime, nowMs)}`}`
      : 'none';
  return html`<dl class="facts">
${fact('Runs', schedule.suspended ? html`${schedule.schedule} <strong>(suspended)</strong>` : schedule.schedule)}
${fact('Next run', time(nextTime))}
${fact('Last run', lastRun ? html`${time(lastRun.completionTime ?? lastRun.time)}` : 'none yet')}
${fact('Last success', lastSuccess ? time(lastSuccess.time) : 'none yet')}
${fact('A success is due by', time(successDue))}
${fact('Archives', archives && `${archives.count.toLocaleString('en')}, ${bytes(archives.bytes)}`)}
${fact('Source', placeOf(schedule.source))}
${fact('Destination', placeOf(schedule.destination))}
${fact('Runs so far', `${totals.succeeded} succeeded, ${totals.incomplete} incomplete, ${totals.failed} failed, ${totals.skipped} skipped`)}
${fact('Missed times', missed)}
${fact('Archives removed by retention', totals.pruned.toLocaleString('en'))}
${fact('Drills', drill?.schedule)}
${fact('Next drill', time(drill?.next))}
</dl>`;
}

const TONES = {
  ok: 'ok',
  part: 'warning',
  bad: 'critical',
  skip: 'idle',
  found: 'idle',
  run: 'busy',
} as const;

function runRow(run: RunOverview): Html {
  const { mark, label } = outcomeOf(run);
  const { archive, warnings, reason } = run;
  const isBad = mark === 'bad' || mark === 'part' || mark === 'run';
  const cell = (title: string, content: Html | string | false | undefined) =>
    html`<td role="cell" data-label="${title}"><div>${content || html`<span class="dim">–</span>`}</div></td>`;
  const result = html`${isBad && reason !== undefined && html`<code>${reason}</code> `}${isBad && run.message}${isBad && todo(run.todo)}`;
  const reused = archive?.reusedBytes;
  return html`<tr role="row"><td role="cell" class="state">${badge(TONES[mark], mark === 'run' ? run.phase : label)}</td>
<td role="cell" class="name when"><span class="num">${dateAndTime(run.time)}</span>${run.byHand && html` <span class="dim">by hand</span>`}</td>
${cell('Took', run.durationSeconds !== undefined && html`<span class="num">${seconds(run.durationSeconds)}</span>`)}
${cell('Archive', archive && html`<span class="num">${bytes(archive.sizeBytes)}</span>`)}
${cell('Source', archive?.sourceBytes !== undefined && html`<span class="num">${bytes(archive.sourceBytes)}</span>`)}
${cell('Reused', reused !== undefined && reused > 0 && html`<span class="num">${bytes(reused)}</span>`)}
${cell('Run', html`<span class="dim">${run.name}</span>${warnings !== undefined && warnings > 0 && html` <span class="dim">· ${count(warnings, 'warning')}</span>`}${isBad && html`<div>${result}</div>`}`)}</tr>
`;
}

const RUN_HEADS = ['State', 'Time (UTC)', 'Took', 'Archive', 'Source', 'Reused', 'Run'];

function runsSection(schedule: ScheduleOverview, all: boolean): Html {
  const { runs, running, runsOmitted = 0, namespace, name } = schedule;
  const rows = [...runs, ...running].reverse();
  const shown = all ? rows : rows.slice(0, MAX_ROWS);
  const more = rows.length - shown.length;
  return html`<section><h2 id="runs">Runs</h2>${
    rows.length === 0
      ? html`<p class="empty">No run is recorded.</p>`
      : html`<table class="cards" role="table" aria-labelledby="runs"><thead role="rowgroup"><tr role="row">${RUN_HEADS.map((title) => html`<th role="columnheader" scope="col">${title}</th>`)}</tr></thead><tbody role="rowgroup">${shown.map(runRow)}</tbody></table>`
  }${more > 0 && html`<p class="after"><a href="${query({ namespace, schedule: name, runs: 'all' })}#runs">All ${count(rows.length, 'run')}</a></p>`}${runsOmitted > 0 && html`<p class="dim after">${count(runsOmitted, 'older run')} more.</p>`}</section>`;
}

function copyRow(copy: CopyOverview, nowMs: number): Html {
  const tone = copy.phase === 'Copied' ? 'ok' : copy.phase === 'Failed' ? 'critical' : 'busy';
  const time = (text: string | undefined) =>
    text === undefined ? html`<span class="dim">–</span>` : when(text, nowMs);
  return html`<tr role="row"><td role="cell" class="state">${badge(tone, copy.phase)}</td><td role="cell" class="name">${copy.location}${!copy.wanted && html`<span class="sub">no longer asked for</span>`}</td>
<td role="cell" data-label="Newest"><span>${copy.archive ?? html`<span class="dim">–</span>`}</span></td>
<td role="cell" data-label="Last success"><span>${time(copy.lastSuccess)}</span></td>
<td role="cell" class="when" data-label="Copies"><span>${copy.copies ? html`<span class="num">${copy.copies.count}</span> <span class="dim">${bytes(copy.copies.bytes)}</span>` : html`<span class="dim">–</span>`}</span></td>
<td role="cell" data-label="Message"><div>${copy.phase === 'Failed' && html`${copy.message}${copy.nextAttempt !== undefined && html`<span class="sub">next attempt ${when(copy.nextAttempt, nowMs)}</span>`}${todo(copy.todo)}`}</div></td></tr>`;
}

function copiesSection(copies: readonly CopyOverview[] | undefined, nowMs: number): Html | undefined {
  if (!copies) return undefined;
  const heads = ['State', 'Location', 'Newest copy', 'Last success', 'Copies', 'Message'];
  return html`<section><h2 id="copies">Copies</h2><table class="cards" role="table" aria-labelledby="copies"><thead role="rowgroup"><tr role="row">${heads.map((title) => html`<th role="columnheader" scope="col">${title}</th>`)}</tr></thead><tbody role="rowgroup">${copies.map((copy) => copyRow(copy, nowMs))}</tbody></table></section>`;
}

function drillSection({ drill }: ScheduleOverview, nowMs: number): Html | undefined {
  if (!drill?.last) return undefined;
  const { name, phase, time, reason, archive, archiveAgeSeconds, recoverySeconds, message } = drill.last;
  const bad = phase !== 'Succeeded';
  return html`<section><h2 id="drill">Last drill</h2><p>${badge(bad ? 'critical' : 'ok', phase)} ${exactly(time, nowMs)}</p>
<dl class="facts after">${fact('Archive', archive)}${fact('Age of the data', archiveAgeSeconds === undefined ? undefined : seconds(archiveAgeSeconds))}${fact('Took', recoverySeconds === undefined ? undefined : seconds(recoverySeconds))}${fact('KmRestore', name)}${bad && fact('Last success', drill.lastSuccess === undefined ? 'none' : exactly(drill.lastSuccess, nowMs))}</dl>
${bad && html`<p class="after">${reason !== undefined && html`<code>${reason}</code> `}${message}</p>`}</section>`;
}

export function detailPage(
  overview: Overview,
  schedule: ScheduleOverview,
  url: URL,
  frame: Frame,
): HttpAnswer {
  const nowMs = Date.parse(overview.time);
  const json = queryOf(schedule);
  const restores = overview.restores.filter(
    (restore) => restore.schedule === schedule.name && restore.namespace === schedule.namespace,
  );
  const chart = sizeChart(schedule.runs);
  const header = html`<p class="crumb"><a href=".">${frame.subject}</a>${schedule.namespace !== undefined && html` / <a href="${query({ namespace: schedule.namespace })}">${schedule.namespace}</a>`}</p>
<div class="top"><h1>${scheduleName(schedule)}</h1><span>${healthBadge(schedule.health)}</span></div>`;
  const main = html`${schedule.findings.length > 0 && html`<section><h2>What to know</h2>${allFindings(schedule.findings, nowMs)}</section>`}
<section><h2>At a glance</h2>${facts(schedule, nowMs)}</section>
<section><h2>Timeline</h2>${calendar([...schedule.runs, ...schedule.running], nowMs)}${legend()}</section>
${chart && html`<section><h2>Sizes of archives</h2>${chart}</section>`}
${copiesSection(schedule.copies, nowMs)}
${drillSection(schedule, nowMs)}
${restoresSection(restores, nowMs)}
${runsSection(schedule, url.searchParams.get('runs') === 'all')}`;
  const title = `${schedule.namespace === undefined ? '' : `${schedule.namespace}/`}${schedule.name} – ${frame.subject}`;
  return documentOf({ title, header, main, json });
}

export function notFoundPage(frame: Frame): HttpAnswer {
  const header = html`<p class="crumb"><a href=".">${frame.subject}</a></p><h1>There is no such schedule</h1>`;
  return documentOf({
    status: 404,
    title: `Not found – ${frame.subject}`,
    header,
    main: html`<section><p>It may have been deleted or renamed. <a href=".">Show all schedules</a></p></section>`,
    json: '',
  });
}
