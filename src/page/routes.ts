/** The routes of the status page. They only read. */
import type { HttpAnswer, Route } from '../health/index.ts';
import { printableJson } from '../log/printable.ts';
import type { Overview, ScheduleOverview } from '../overview/index.ts';
import { detailPage, notFoundPage } from './detail.ts';
import { documentOf, FAVICON, HEADERS } from './document.ts';
import { html } from './html.ts';
import { type Frame, filterOf, listPage, matches } from './list.ts';

export interface PageSource extends Frame {
  /** Undefined until it is known. */
  overview: () => Overview | undefined | Promise<Overview | undefined>;
  /** Milliseconds of a clock that only goes forward. */
  monotonic: () => number;
}

/** The state is computed again at most this often. */
const FRESH_MS = 2_000;
/** However often it is asked for, computing it takes at most this part of the time. */
const SHARE = 10;

/** Computes the state at most once in a while, and once for all who ask meanwhile. */
function remembered({ overview, monotonic }: PageSource): () => Promise<Overview | undefined> {
  let known: Promise<Overview | undefined> | undefined;
  let freshUntil = 0;
  const compute = async () => {
    const startMs = monotonic();
    try {
      const computed = await overview();
      const endMs = monotonic();
      freshUntil = computed ? endMs + Math.max(FRESH_MS, (endMs - startMs) * SHARE) : 0;
      return computed;
    } catch (error) {
      freshUntil = 0;
      throw error;
    }
  };
  return () => {
    if (!known || monotonic() >= freshUntil) {
      freshUntil = Number.POSITIVE_INFINITY;
      known = compute();
    }
    return known;
  };
}

const unknown = (frame: Frame): HttpAnswer =>
  documentOf({
    status: 503,
    title: frame.subject,
    header: html`<h1>${frame.subject}</h1>`,
    main: html`<section><p>The resources are being read for the first time. Try again in a moment.</p></section>`,
    json: '',
  });

const find = (
  { schedules }: Overview,
  namespace: string | null,
  name: string,
): ScheduleOverview | undefined =>
  schedules.find(
    (schedule) => schedule.name === name && (namespace === null || (schedule.namespace ?? '') === namespace),
  );

/** A schedule at a time: the whole of a thousand is megabytes. */
async function* jsonOf(overview: Overview, schedules: readonly ScheduleOverview[]): AsyncGenerator<string> {
  const { schedules: _, ...rest } = overview;
  yield `${printableJson(rest).slice(0, -1)},"schedules":[`;
  for (const [index, schedule] of schedules.entries())
    yield `${index === 0 ? '' : ','}${printableJson(schedule)}`;
  yield ']}\n';
}

/**
 * `/` and `/status.json`. `?namespace=` and `?schedule=` choose one schedule; `?q=`, `?health=` and `?namespace=` choose
 * several.
 */
export function pageRoutes(source: PageSource): Record<string, Route> {
  const overview = remembered(source);
  return {
    '/': async (url) => {
      const known = await overview();
      if (!known) return unknown(source);
      const name = url.searchParams.get('schedule');
      const [only] = known.schedules;
      // Outside of a cluster there is one schedule, and nothing else to list.
      if (name === null && only && only.namespace === undefined && known.schedules.length === 1)
        return detailPage(known, only, url, source);
      if (name === null) return listPage(known, url, source);
      const schedule = find(known, url.searchParams.get('namespace'), name);
      return schedule ? detailPage(known, schedule, url, source) : notFoundPage(source);
    },
    '/status.json': async (url) => {
      const answer = { contentType: 'application/json', headers: HEADERS };
      const known = await overview();
      if (!known) return { ...answer, status: 503, body: '{"error":"the resources are being read"}\n' };
      const name = url.searchParams.get('schedule');
      if (name === null)
        return {
          ...answer,
          status: 200,
          body: jsonOf(known, known.schedules.filter(matches(filterOf(url)))),
        };
      const schedule = find(known, url.searchParams.get('namespace'), name);
      return schedule
        ? { ...answer, status: 200, body: jsonOf(known, [schedule]) }
        : { ...answer, status: 404, body: '{"error":"no such schedule"}\n' };
    },
    '/favicon.svg': () => ({ status: 200, contentType: 'image/svg+xml', headers: HEADERS, body: FAVICON }),
  };
}
