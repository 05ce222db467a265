/** Restores, locations and claims: tables below the schedules. */
import type { ClaimOverview, Coverage, Gap, LocationOverview, RestoreOverview } from '../overview/index.ts';
import { todo } from './findings.ts';
import { bytes, count, seconds, when } from './format.ts';
import { type Html, html, prose } from './html.ts';
import { queryOf } from './links.ts';
import { badge } from './outcome.ts';

const MAX_RESTORES = 20;
const MAX_CLAIMS = 200;

const head = (titles: readonly string[]): Html =>
  html`<thead role="rowgroup"><tr role="row">${titles.map((title) => html`<th role="columnheader" scope="col">${title}</th>`)}</tr></thead>`;

const cell = (label: string, content: Html | string | false | undefined): Html =>
  html`<td role="cell" data-label="${label}"><div>${content || html`<span class="dim">–</span>`}</div></td>`;

const RESTORE_TONES: ReadonlyMap<string, 'ok' | 'critical' | 'warning'> = new Map([
  ['Succeeded', 'ok'],
  ['Failed', 'critical'],
  ['RolledBack', 'warning'],
] as const);

function restoreRow(restore: RestoreOverview, nowMs: number): Html {
  const { namespace, name, phase, target, archive, message, oldState, recoverySeconds } = restore;
  const kept =
    oldState &&
    html`<span class="sub">The state before it is kept${oldState.keptUntil !== undefined && html` (${when(oldState.keptUntil, nowMs)})`}.</span>`;
  return html`<tr role="row"><td role="cell" class="state">${badge(RESTORE_TONES.get(phase) ?? (restore.finished ? 'idle' : 'busy'), phase)}</td>
<td role="cell" class="name"><span class="dim">${namespace}/</span>${name}</td>
${cell('Claim', target)}${cell('Archive', archive)}
${cell('Started', html`${when(restore.time, nowMs)}${recoverySeconds !== undefined && html` <span class="dim">· ${seconds(recoverySeconds)}</span>`}`)}
${cell('Message', html`${message}${kept}${phase === 'Succeeded' ? undefined : todo(restore.todo)}`)}</tr>`;
}

export function restoresSection(restores: readonly RestoreOverview[], nowMs: number): Html | undefined {
  if (restores.length === 0) return undefined;
  const omitted = restores.length - MAX_RESTORES;
  return html`<section><h2 id="restores">Restores</h2><table class="cards" role="table" aria-labelledby="restores">${head(['State', 'Restore', 'Claim', 'Archive', 'Started', 'Message'])}<tbody role="rowgroup">${restores.slice(0, MAX_RESTORES).map((restore) => restoreRow(restore, nowMs))}</tbody></table>${omitted > 0 && html`<p class="dim after">${count(omitted, 'older restore')} more.</p>`}</section>`;
}

function locationRow(location: LocationOverview, nowMs: number): Html {
  const { namespace, name, url, available, reason, message, copies, lastCopy, lastCheck } = location;
  const state =
    available === undefined
      ? badge('busy', 'Not checked')
      : available
        ? badge('ok', 'Available')
        : badge('critical', 'Unavailable');
  return html`<tr role="row"><td role="cell" class="state">${state}</td><td role="cell" class="name"><span class="dim">${namespace}/</span>${name}</td>
${cell('Address', url)}${cell('Copies', copies && html`<span class="num">${copies.count}</span> <span class="dim num">${bytes(copies.bytes)}</span>`)}
${cell('Last copy', lastCopy === undefined ? undefined : when(lastCopy, nowMs))}
${cell('Last check', html`${lastCheck === undefined ? html`<span class="dim">none</span>` : when(lastCheck, nowMs)}${available === false && html`<span class="sub">${reason}: ${message}</span>${todo(location.todo)}`}`)}</tr>`;
}

export function locationsSection(
  locations: readonly LocationOverview[] | undefined,
  nowMs: number,
): Html | undefined {
  if (!locations || locations.length === 0) return undefined;
  return html`<section><h2 id="locations">Locations of copies</h2><table class="cards" role="table" aria-labelledby="locations">${head(['State', 'Location', 'Address', 'Copies', 'Last copy', 'Last check'])}<tbody role="rowgroup">${locations.map((location) => locationRow(location, nowMs))}</tbody></table></section>`;
}

const GAP_WORDS: ReadonlyMap<string, string> = new Map([
  ['NoSchedule', 'no schedule'],
  ['BackupStale', 'no fresh archive'],
  ['AllSuspended', 'suspended'],
  ['ArchivesOnSameClaim', 'archives on the same claim'],
  ['NoCopy', 'never copied'],
  ['NeverDrilled', 'never drilled'],
  ['ClaimIsBlock', 'block device'],
]);

function claimRow(claim: ClaimOverview, nowMs: number): Html {
  const { namespace, name, gaps, schedules, holdsArchivesOf, lastSuccess } = claim;
  const severity = gaps[0]?.severity ?? 'ok';
  const label = severity === 'critical' ? 'At risk' : severity === 'warning' ? 'Weak' : 'Backed up';
  const state =
    schedules.length === 0 && gaps.length === 0
      ? badge('ok', 'Holds archives')
      : gaps[0]?.reason === 'ClaimIsBlock'
        ? badge('idle', 'Block device')
        : badge(severity === 'idle' ? 'ok' : severity, label);
  const links = schedules.map(
    (schedule, index) =>
      html`${index > 0 && ', '}<a href="${queryOf({ namespace, name: schedule })}">${schedule}</a>`,
  );
  return html`<tr role="row"><td role="cell" class="state">${state}</td><td role="cell" class="name"><span class="dim">${namespace}/</span>${name}</td>
${cell('Schedules', schedules.length > 0 ? html`${links}` : holdsArchivesOf.length > 0 && `archives of ${holdsArchivesOf.join(', ')}`)}
${cell('Last success', lastSuccess === undefined ? undefined : when(lastSuccess, nowMs))}
${cell('Missing', gaps.length > 0 && html`${gaps.map(({ reason }) => html`<span class="gap">${GAP_WORDS.get(reason) ?? reason}</span>`)}`)}</tr>`;
}

/** What the words in the table mean, once for all claims. */
function gapList({ claims, gaps }: Coverage): Html {
  const kinds = new Map<string, Gap>();
  for (const claim of claims) for (const gap of claim.gaps) kinds.set(gap.reason, gap);
  return html`<dl class="gaps">${[...kinds.values()].map(
    ({ reason, message, todo: advice }) =>
      html`<dt><span class="gap">${GAP_WORDS.get(reason) ?? reason}</span> ${gaps[reason]}</dt><dd>${message}${advice !== undefined && html` <span class="dim">${prose(advice)}</span>`}</dd>`,
  )}</dl>`;
}

export function coverageSection(coverage: Coverage | undefined, nowMs: number): Html | undefined {
  if (!coverage) return undefined;
  const { claims } = coverage;
  if (claims.length === 0)
    return html`<section><h2 id="coverage">Coverage</h2><p class="empty">There are no PersistentVolumeClaims.</p></section>`;
  const shown = claims.slice(0, MAX_CLAIMS);
  const words = `${coverage.protected} of ${count(claims.length, 'claim')} ${claims.length === 1 ? 'is' : 'are'} backed up; ${coverage.covered} ${coverage.covered === 1 ? 'lacks' : 'lack'} nothing.`;
  return html`<section><h2 id="coverage">Coverage</h2><p class="dim">${words}</p>
<table class="cards" role="table" aria-labelledby="coverage">${head(['State', 'Claim', 'Schedules', 'Last success', 'Missing'])}<tbody role="rowgroup">${shown.map((claim) => claimRow(claim, nowMs))}</tbody></table>
${claims.length > shown.length && html`<p class="dim after">${count(claims.length - shown.length, 'claim')} more in <a href="status.json">JSON</a>.</p>`}${gapList(coverage)}</section>`;
}
