import { accessSync, constants, statSync } from 'node:fs';
import path from 'node:path';
import { Registry } from 'prom-client';
import {
  ArchiveError,
  type ArchiveInfo,
  ensureDirectory,
  lastRestore,
  listArchives,
} from '../archive/index.ts';
import type { Clock } from '../clock/index.ts';
import {
  type BackupCheck,
  backupCheck,
  type ClockCheck,
  type CopyCheck,
  healthRoutes,
  type Restored,
  type RunningServer,
  startHttpServer,
} from '../health/index.ts';
import type { Logger } from '../log/index.ts';
import { BackupMetrics, CopyMetrics } from '../metrics/index.ts';
import { pageRoutes } from '../page/index.ts';
import { FileLock } from '../posix/file-lock.ts';
import { Copier } from './copier.ts';
import { describeSchedule, parseEnvironment, type Settings, scheduleOf } from './environment.ts';
import { overviewOfServe, type ServeFacts } from './overview.ts';
import { runOnce } from './run.ts';
import { interruptedRun, isRunGoing, runEnded } from './run-files.ts';
import { runProgram } from './run-program.ts';
import { Scheduler } from './scheduler.ts';
import { freshState, type State, StateFile } from './state.ts';
import { healthOf, type RunReport, recover, resume, snapshotOf } from './transitions.ts';
import { type Environment, readVariable, type VariableKey, variableWarnings } from './variables.ts';

const SERVE_LOCK = '.km-backup-serve.lock';

/** Stands for the schedule in the state while backups are switched off. */
const DISABLED = 'disabled';

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

/** What is wrong with the paths that the variables name. */
function pathProblems(env: Environment, { enabled, source, script }: Settings): string[] {
  const problems: string[] = [];
  const refuse = (key: VariableKey, file: string, why: string) =>
    problems.push(`${readVariable(env, key)?.name}=${JSON.stringify(file)}: ${why}`);
  if (enabled && !statSync(source, { throwIfNoEntry: false })?.isDirectory())
    refuse('source', source, 'is not a directory');
  if (script !== undefined) {
    try {
      accessSync(script, constants.X_OK);
      if (!statSync(script).isFile()) throw new Error('not a file');
    } catch {
      refuse('script', script, 'is not an executable file');
    }
  }
  return problems;
}

/**
 * The settings in the environment.
 *
 * @throws {ArchiveError} Usage when variables are bad; the message names all of them.
 */
export function settingsFrom(env: Environment): Settings {
  const parsed = parseEnvironment(env);
  const problems = parsed.ok ? pathProblems(env, parsed.settings) : parsed.problems;
  if (parsed.ok && problems.length === 0) return parsed.settings;
  throw new ArchiveError(
    'Usage',
    `nothing was started:\n${problems.map((problem) => `  ${problem}`).join('\n')}`,
  );
}

function tryHold(destination: string) {
  return FileLock.tryLock(path.join(destination, SERVE_LOCK));
}

function holdDestination(destination: string): FileLock {
  const attempt = tryHold(destination);
  if (attempt.acquired) return attempt.lock;
  const { holder } = attempt;
  const who = holder ? `process ${holder.pid} on ${holder.host}, since ${holder.since}` : 'another process';
  throw new ArchiveError('Locked', `${destination} is already served by ${who}. Stop that one first.`);
}

function loadState(file: StateFile, logger: Logger): State | undefined {
  const loaded = file.load();
  if (loaded.kind === 'damaged')
    logger.error(
      { movedTo: loaded.movedTo, problem: loaded.problem },
      'the state is damaged: totals start from zero, and times that passed meanwhile are not made up for',
    );
  return loaded.kind === 'state' ? loaded.state : undefined;
}

async function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

/** A restore leaves its journal beside the source: `serve` need not run meanwhile. */
function restoredTo(source: string): Restored | undefined {
  const last = lastRestore(source);
  return (
    last && {
      atMs: last.startedAt.getTime(),
      archive: last.archive,
      archiveAtMs: last.archiveTime?.getTime(),
      sizeBytes: last.sizeBytes,
    }
  );
}

interface Served {
  check: () => BackupCheck;
  clock?: () => ClockCheck | undefined;
  copy?: () => CopyCheck | undefined;
  registry: Registry;
  /** For the status page. */
  facts: () => Omit<ServeFacts, 'settings' | 'archives' | 'copy'>;
}

function listen(
  settings: Settings,
  { check, clock, copy, registry, facts }: Served,
  { clock: time, logger }: Pick<ServeOptions, 'clock' | 'logger'>,
): Promise<RunningServer> {
  const { host, port } = settings.listen;
  const overview = () =>
    overviewOfServe(
      { ...facts(), settings, copy: copy?.(), archives: archivesIn(settings.destination) },
      time.now(),
    );
  return startHttpServer({
    host,
    port,
    routes: {
      ...healthRoutes({
        metrics: registry,
        checks: check,
        ...(clock && { clock }),
        ...(copy && { copy }),
      }),
      ...(settings.page && pageRoutes({ subject: 'Backups', overview, monotonic: () => time.monotonic() })),
    },
    onError: (error) => logger.error({ err: error }, 'HTTP'),
  }).catch((error: Error) => {
    throw new ArchiveError(
      'Usage',
      `cannot listen on ${host}:${port} (${error.message}): set KM_BACKUP_LISTEN or --listen to a free address.`,
    );
  });
}

/** Serves until the signal aborts. Switched off, it only serves its health and metrics. */
export async function serve(options: ServeOptions): Promise<void> {
  const { env, logger } = options;
  const settings = settingsFrom(env);
  for (const warning of variableWarnings(env)) logger.warn(warning);
  await (settings.enabled ? serveEnabled(settings, options) : serveDisabled(settings, options));
  logger.info('stopped');
}

async function serveDisabled(settings: Settings, options: ServeOptions): Promise<void> {
  const { destination, source } = settings;
  const { clock, logger, signal } = options;
  const registry = new Registry();
  const metrics = new BackupMetrics(registry, { labelled: false });
  const state = settleDisabled(destination, clock.now(), logger);
  const nowMs = clock.now();
  metrics.setOnly(
    snapshotOf(state, { nowMs, cadence: undefined, nextSlotMs: null, expectedIntervalSeconds: null }),
  );
  const health = healthOf(state, { nowMs, enabled: false, stopped: false });
  const check = () => backupCheck({ ...health, restored: restoredTo(source) });
  const facts = () => ({ state, cadence: undefined });
  const server = await listen(settings, { check, registry, facts }, options);
  logger.info({ url: server.url }, 'backups are disabled: set KM_BACKUP_ENABLED=true to start them');
  options.onListening?.(server.url);
  await untilAborted(signal);
  await server.close();
}

/** Records that the schedule is switched off, so that a later start does not make up for the time until then. */
function settleDisabled(destination: string, nowMs: number, logger: Logger): State {
  const file = new StateFile(destination);
  const previous = loadState(file, logger);
  if (!previous) return freshState(DISABLED, nowMs);
  const state = resume(previous, DISABLED, nowMs);
  try {
    const attempt = tryHold(destination);
    // Another process serves this destination: the state is its own.
    if (!attempt.acquired) return previous;
    using _lock = attempt.lock;
    file.save(state);
  } catch (error) {
    logger.warn(
      { error: error instanceof Error ? error.message : String(error) },
      'the state could not be written: when backups are enabled again, one run may make up for the time until then',
    );
  }
  return state;
}

async function serveEnabled(settings: Settings, options: ServeOptions): Promise<void> {
  const { env, clock, logger, program, signal } = options;
  const { destination } = settings;
  ensureDirectory(destination);
  using _lock = holdDestination(destination);
  const file = new StateFile(destination);
  const nowMs = clock.now();
  const resumed = resume(loadState(file, logger), describeSchedule(settings), nowMs);
  const resultOf = ({ startedAtMs }: { startedAtMs: number }) =>
    settings.script === undefined ? interruptedRun(destination, startedAtMs, clock.now()) : undefined;
  const { running } = resumed;
  const orphaned = running !== undefined && isRunGoing(destination);
  const state = orphaned || !running ? resumed : recover(resumed, resultOf(running), nowMs);
  const registry = new Registry();
  const metrics = new BackupMetrics(registry, { labelled: false });
  const copier = copierOf(settings, options, registry);
  const copyAfter = <T extends RunReport | undefined>(report: T): T => {
    if (report?.outcome === 'success') copier?.request();
    return report;
  };
  const cadence = scheduleOf(settings, state.anchorMs);
  const scheduler = new Scheduler({
    cadence,
    clock,
    state,
    save: (next) => file.save(next),
    run: async (stop) => copyAfter(await runOnce({ settings, program, env, clock, logger }, stop)),
    orphan: orphaned
      ? async (stop) => {
          await runEnded(destination, stop);
          return copyAfter(resultOf(running));
        }
      : undefined,
    onChange: (snapshot) => metrics.setOnly(snapshot),
    logger,
  });
  const served = {
    check: () => scheduler.check(restoredTo(settings.source)),
    clock: () => scheduler.clockCheck(),
    copy: () => copier?.check(),
    registry,
    facts: () => ({ state: scheduler.state, cadence }),
  };
  const server = await listen(settings, served, options);
  logger.info(
    { url: server.url, schedule: describeSchedule(settings), source: settings.source, destination },
    'serving',
  );
  scheduler.start({ runNow: options.runNow });
  // Copy what was not copied before the last stop.
  if (listArchives(destination).some(({ class: kind }) => kind === 'complete')) copier?.request();
  options.onListening?.(server.url);
  await untilAborted(signal);
  await Promise.all([scheduler.stop(), copier?.stop()]);
  await server.close();
}

/** The archives there; none if the directory cannot be listed, which the runs report. */
function archivesIn(destination: string): ArchiveInfo[] {
  try {
    return listArchives(destination);
  } catch (error) {
    if (error instanceof ArchiveError) return [];
    throw error;
  }
}

function copierOf(
  { copies, destination }: Settings,
  { env, program, clock, logger }: ServeOptions,
  registry: Registry,
): Copier | undefined {
  if (!copies) return undefined;
  const metrics = new CopyMetrics(registry);
  return new Copier({
    settings: copies,
    destination,
    clock,
    logger,
    run: (args, signal) => runProgram(program, args, env, signal),
    onChange: (state) => metrics.set(state),
  });
}
