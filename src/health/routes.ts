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
  /** By `namespace/name`. A scheduler of one directory returns its only check. */
  checks: () => BackupCheck | ReadonlyMap<string, BackupCheck>;
  /** `checks.clock`; undefined: nothing to say. */
  clock?: () => ClockCheck | undefined;
  /** `checks.copy`; undefined: nothing is copied. */
  copy?: () => CopyCheck | undefined;
  /** Sentences on what is wrong with the process; empty if nothing is. */
  live?: () => string[];
  /** Sentences on what is not ready; empty if everything is. */
  ready?: () => string[];
}

/**
 * A failed backup answers 503, so that `curl -f` and a prober notice. Liveness probes use `/livez`: a failed backup
 * is no reason to restart anything.
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

/** One metric at a time: those of ten thousand schedules are 14 MB. */
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
