import { accessSync, constants, statSync } from 'node:fs';
import path from 'node:path';
import { Registry } from 'prom-client';
import { ArchiveError, ensureDirectory } from '../archive/index.ts';
import {
  type BackupCheck,
  backupCheck,
  healthRoutes,
  type RunningServer,
  startHttpServer,
} from '../health/index.ts';
import type { Logger } from '../log/index.ts';
import { BackupMetrics } from '../metrics/index.ts';
import { FileLock } from '../posix/file-lock.ts';
import type { Cadence } from '../schedule/index.ts';
import { describeSchedule, type Environment, parseEnvironment, type Settings } from './environment.ts';
import { findFinished, runOnce } from './run.ts';
import { type Clock, Scheduler } from './scheduler.ts';
import { freshState, type State, StateFile } from './state.ts';
import { healthOf, recover, resume, snapshotOf } from './transitions.ts';

const SERVE_LOCK = '.km-backup-serve.lock';

export interface ServeOptions {
  readonly env: Environment;
  /** Path of the built-in program. */
  readonly program: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly runNow: boolean;
  readonly signal: AbortSignal;
  /** Called once the server answers. */
  readonly onListening?: (url: string) => void;
}

/** What only the file system can tell of the variables. */
function pathProblems({ enabled, source, script }: Settings): string[] {
  const problems: string[] = [];
  if (enabled && !statSync(source, { throwIfNoEntry: false })?.isDirectory())
    problems.push(`KM_STATE_PATH=${JSON.stringify(source)}: is no directory`);
  if (script !== undefined) {
    try {
      accessSync(script, constants.X_OK);
      if (!statSync(script).isFile()) throw new Error('not a file');
    } catch {
      problems.push(`KM_BACKUP_SCRIPT=${JSON.stringify(script)}: is no executable file`);
    }
  }
  return problems;
}

/** The settings, or a Usage error that names every bad variable. */
export function settingsFrom(env: Environment): Settings {
  const parsed = parseEnvironment(env);
  const problems = parsed.ok ? pathProblems(parsed.settings) : parsed.problems;
  if (parsed.ok && problems.length === 0) return parsed.settings;
  throw new ArchiveError(
    'Usage',
    `nothing was started:\n${problems.map((problem) => `  ${problem}`).join('\n')}`,
  );
}

function holdDestination(destination: string): FileLock {
  const file = path.join(destination, SERVE_LOCK);
  const attempt = FileLock.tryLock(file);
  if (attempt.acquired) return attempt.lock;
  const { holder } = attempt;
  const who = holder ? `process ${holder.pid} on ${holder.host}, since ${holder.since}` : 'another process';
  throw new ArchiveError('Locked', `${destination} is served by ${who} already. Stop that one first.`);
}

function loadState(file: StateFile, logger: Logger): State | undefined {
  const loaded = file.load();
  if (loaded.kind === 'damaged')
    logger.error(
      { movedTo: loaded.movedTo, problem: loaded.problem },
      'the state is damaged: totals start anew and slots before now are not made up for',
    );
  return loaded.kind === 'state' ? loaded.state : undefined;
}

function cadenceOf({ cron, intervalMinutes }: Settings, anchorMs: number): Cadence {
  return cron ?? { kind: 'interval', everyMs: intervalMinutes * 60_000, anchorMs };
}

async function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

interface Served {
  check: () => BackupCheck;
  registry: Registry;
}

function listen(
  { host, port }: Settings['listen'],
  { check, registry }: Served,
  logger: Logger,
): Promise<RunningServer> {
  return startHttpServer({
    host,
    port,
    routes: healthRoutes({ metrics: registry, checks: check }),
    onError: (error) => logger.error({ err: error }, 'HTTP'),
  }).catch((error: Error) => {
    throw new ArchiveError(
      'Usage',
      `cannot listen on ${host}:${port} (${error.message}): set KM_BACKUP_LISTEN or --listen to a free address.`,
    );
  });
}

/** Serves until the signal. Switched off, it only tells so. */
export async function serve(options: ServeOptions): Promise<void> {
  const { env, clock, logger, signal } = options;
  const settings = settingsFrom(env);
  await (settings.enabled ? serveEnabled(settings, options) : serveDisabled(settings, options));
  logger.info('stopped');

  async function serveDisabled({ listen: address, destination }: Settings, { onListening }: ServeOptions) {
    const registry = new Registry();
    const metrics = new BackupMetrics(registry, { labelled: false });
    const file = new StateFile(destination);
    const previous = loadState(file, logger);
    const state = previous ? resume(previous, 'disabled', clock.now()) : freshState('disabled', clock.now());
    // What was written down makes the next start with KM_BACKUP_ENABLED=true begin from then.
    if (previous) file.save(state);
    metrics.setOnly(snapshotOf(state, { enabled: false, nextSlotMs: null, expectedIntervalSeconds: null }));
    const check = () => backupCheck(healthOf(state, { enabled: false, stopped: false }));
    const server = await listen(address, { check, registry }, logger);
    logger.info({ url: server.url }, 'backups are disabled: set KM_BACKUP_ENABLED=true to start them');
    onListening?.(server.url);
    await untilAborted(signal);
    await server.close();
  }

  async function serveEnabled(enabled: Settings, { program, runNow, onListening }: ServeOptions) {
    const { destination } = enabled;
    ensureDirectory(destination);
    using _lock = holdDestination(destination);
    const file = new StateFile(destination);
    const nowMs = clock.now();
    const resumed = resume(loadState(file, logger), describeSchedule(enabled), nowMs);
    const cut = resumed.running;
    const state = recover(resumed, cut && findFinished(destination, cut.startedAtMs, nowMs), nowMs);
    const registry = new Registry();
    const metrics = new BackupMetrics(registry, { labelled: false });
    const scheduler = new Scheduler({
      cadence: cadenceOf(enabled, state.anchorMs),
      clock,
      state,
      save: (next) => file.save(next),
      run: (stop) => runOnce({ settings: enabled, program, env, clock, logger }, stop),
      onChange: (snapshot) => metrics.setOnly(snapshot),
      logger,
    });
    const server = await listen(enabled.listen, { check: () => scheduler.check(), registry }, logger);
    logger.info(
      { url: server.url, schedule: describeSchedule(enabled), source: enabled.source, destination },
      'serving',
    );
    scheduler.start({ runNow });
    onListening?.(server.url);
    await untilAborted(signal);
    await scheduler.stop();
    await server.close();
  }
}
