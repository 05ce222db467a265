import { aggregateChecks } from './aggregate.ts';
import type { BackupCheck, ClockCheck, CopyCheck } from './backup-check.ts';
import { type HttpAnswer, json, type Route, text } from './http-server.ts';

export interface HealthSources {
  /** A registry of prom-client. */
  metrics: {
    contentType: string;
    getMetricsAsArray: () => readonly { name: string }[];
    getSingleMetricAsString: (name: string) => Promise<string>;
  };
  /** By `namespace/name`. A scheduler of a single directory returns its only check. */
  checks: () => BackupCheck | ReadonlyMap<string, BackupCheck>;
  /** `checks.clock`; undefined if there is nothing to report. */
  clock?: () => ClockCheck | undefined;
  /** `checks.copy`; undefined if copies are not configured. */
  copy?: () => CopyCheck | undefined;
  /** What is wrong with the process, in sentences; empty if nothing is. */
  live?: () => string[];
  /** What is not ready, in sentences; empty if everything is. */
  ready?: () => string[];
}

/**
 * Answers 503 after a failed backup, so that `curl -f` and a prober notice. Liveness probes use `/livez`: a failed backup
 * is not a reason to restart the process.
 */
function healthz(check: BackupCheck, clock?: ClockCheck, copy?: CopyCheck): HttpAnswer {
  const failed = check.status === 'error';
  const checks = { backup: check, ...(clock && { clock }), ...(copy && { copy }) };
  return json(failed ? 503 : 200, { status: failed ? 'error' : 'ok', checks });
}

function selected(checks: ReadonlyMap<string, BackupCheck>, url: URL): HttpAnswer {
  const namespace = url.searchParams.get('namespace');
  const schedule = url.searchParams.get('schedule');
  const matches = [...checks].filter(([key]) => {
    const slash = key.indexOf('/');
    return (
      (namespace === null || key.slice(0, slash) === namespace) &&
      (schedule === null || key.slice(slash + 1) === schedule)
    );
  });
  if (schedule === null) return healthz(aggregateChecks(new Map(matches)));
  if (matches.length === 0) return json(404, { status: 'error', error: 'no such schedule' });
  return healthz(matches.length === 1 ? matches[0]![1] : aggregateChecks(new Map(matches)));
}

function probe(problems: string[]): HttpAnswer {
  return problems.length === 0 ? text(200, 'ok\n') : text(503, `${problems.join('\n')}\n`);
}

/** Yields one metric at a time: the metrics of ten thousand schedules are 14 MB. */
async function* exposition({ metrics }: HealthSources): AsyncGenerator<string> {
  for (const { name } of metrics.getMetricsAsArray())
    yield `${await metrics.getSingleMetricAsString(name)}\n`;
}

/** The routes `/healthz` (JSON; `?namespace=` and `?schedule=` select), `/livez`, `/readyz` and `/metrics`. */
export function healthRoutes(sources: HealthSources): Record<string, Route> {
  return {
    '/healthz': (url) => {
      const checks = sources.checks();
      return checks instanceof Map
        ? selected(checks, url)
        : healthz(checks as BackupCheck, sources.clock?.(), sources.copy?.());
    },
    '/livez': () => probe(sources.live?.() ?? []),
    '/readyz': () => probe(sources.ready?.() ?? []),
    '/metrics': () => ({
      status: 200,
      contentType: sources.metrics.contentType,
      body: exposition(sources),
    }),
  };
}
