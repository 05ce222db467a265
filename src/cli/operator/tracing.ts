/** Traces of runs, if the environment asks for them (`OTEL_TRACES_EXPORTER=otlp`). */
import packageJson from '../../../package.json' with { type: 'json' };
import type { KmBackup } from '../../api/backup.ts';
import { FIELD_MANAGER } from '../../api/names.ts';
import { type Clock, sleep } from '../../clock/index.ts';
import type { Logger } from '../../log/index.ts';
import { RunTraces } from '../../operator/run-trace.ts';
import { type Span, SpanExporter, traceSettings } from '../../trace/index.ts';

/** What the leader before may have left unsent. Sending a span twice is harmless: its ids are the same. */
const LOOK_BACK_MS = 10 * 60_000;
/** Spans that a standby keeps for the moment it leads. */
const KEPT = 2_048;
const LAST_FLUSH_MS = 2_000;

export interface Tracing {
  /** From now on this process reports. */
  start(): void;
  see(backup: KmBackup, type: 'added' | 'updated' | 'deleted'): void;
  /** Sends what waits, for a moment. */
  stop(): Promise<void>;
}

/** @throws {TraceSettingsError} when a variable of OpenTelemetry cannot be used. */
export function tracingOf(
  env: Readonly<Record<string, string | undefined>>,
  logger: Logger,
  clock: Clock,
): Tracing | undefined {
  const settings = traceSettings(env, FIELD_MANAGER);
  if (!settings) return undefined;
  const exporter = new SpanExporter({
    settings,
    scope: { name: FIELD_MANAGER, version: packageJson.version },
    clock,
    onState: (state) => {
      if (state === 'sent') logger.info({ url: settings.url }, 'traces are sent again');
      else logger.warn({ url: settings.url, error: state.lost }, 'traces are lost');
    },
  });
  logger.info({ url: settings.url }, 'sending traces');
  const traces = new RunTraces();
  let kept: Span[] | undefined = [];
  return {
    start() {
      const sinceMs = clock.now() - LOOK_BACK_MS;
      exporter.add((kept ?? []).filter(({ endMs }) => endMs >= sinceMs));
      kept = undefined;
    },
    see(backup, type) {
      if (type === 'deleted') return traces.forget(backup);
      const spans = traces.next(backup, clock.now() - LOOK_BACK_MS);
      if (kept) kept = [...kept, ...spans].slice(-KEPT);
      else exporter.add(spans);
    },
    async stop() {
      const enough = new AbortController();
      await Promise.race([exporter.flush(enough.signal), sleep(clock, LAST_FLUSH_MS)]);
      enough.abort();
    },
  };
}
