import { execFile, spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Identifies a process even if its pid is reused. `startTime` is field 22 of /proc/PID/stat, in clock ticks. */
export interface ProcessId {
  readonly pid: number;
  readonly startTime: number;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly input?: string;
}

export interface RunResult {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. Rejects with the command and the end of its stderr if it fails. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      command,
      args,
      {
        ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
        env: { ...process.env, ...options.env },
        maxBuffer: 256 * 1024 * 1024,
      },
      (error, stdout, stderr) => {
        if (error === null) return resolve({ stdout, stderr });
        const why = (stderr || stdout || error.message).trimEnd().split('\n').slice(-15).join('\n');
        const status =
          error.code === 'ENOENT' ? 'is not installed' : `failed (${error.signal ?? error.code})`;
        reject(new Error(`${command} ${args.join(' ')} ${status}: ${why}`));
      },
    );
    child.stdin?.on('error', () => {});
    child.stdin?.end(options.input ?? '');
  });
}

/** Whether the program starts and succeeds. */
export async function succeeds(command: string, args: readonly string[]): Promise<boolean> {
  return run(command, args).then(
    () => true,
    () => false,
  );
}

/** Starts a program that outlives this one, its output appended to `logFile`. */
export function startDaemon(
  command: string,
  args: readonly string[],
  logFile: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const out = openSync(logFile, 'a');
  return new Promise<number>((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: '/',
      detached: true,
      stdio: ['ignore', out, out],
      env: { ...process.env, ...env },
    });
    child.once('error', reject);
    child.once('spawn', () => {
      child.unref();
      resolve(child.pid!);
    });
  }).finally(() => closeSync(out));
}

interface Stat {
  readonly state: string;
  readonly parent: number;
  readonly startTime: number;
}

function statOf(pid: number): Stat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command name, in parentheses, may itself hold spaces and parentheses.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0]!, parent: Number(fields[1]), startTime: Number(fields[19]) };
  } catch {
    return undefined;
  }
}

export function identify(pid: number): ProcessId | undefined {
  const stat = statOf(pid);
  return stat === undefined ? undefined : { pid, startTime: stat.startTime };
}

/** False also for a zombie. */
export function isAlive(id: ProcessId): boolean {
  const stat = statOf(id.pid);
  return stat !== undefined && stat.startTime === id.startTime && stat.state !== 'Z' && stat.state !== 'X';
}

/** True while stopped by SIGSTOP. */
export function isStopped(id: ProcessId): boolean {
  return isAlive(id) && statOf(id.pid)?.state === 'T';
}

/** Sends a signal to exactly that process; false when it is gone. */
export function signal(id: ProcessId, name: NodeJS.Signals): boolean {
  if (!isAlive(id)) return false;
  try {
    process.kill(id.pid, name);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

function allPids(): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number);
}

export function parentOf(id: ProcessId): ProcessId | undefined {
  const stat = isAlive(id) ? statOf(id.pid) : undefined;
  return stat && identify(stat.parent);
}

export function childrenOf(pid: number): ProcessId[] {
  return allPids()
    .map((child) => ({ child, stat: statOf(child) }))
    .filter(({ stat }) => stat?.parent === pid && stat.state !== 'Z')
    .map(({ child, stat }) => ({ pid: child, startTime: stat!.startTime }));
}

/** Processes with exactly this variable in their environment. Finds daemons whose pid file is lost. */
export function processesWithEnvironment(variable: string, value: string): ProcessId[] {
  const wanted = `${variable}=${value}`;
  return allPids().flatMap((pid) => {
    try {
      if (!readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(wanted)) return [];
    } catch {
      return [];
    }
    const id = identify(pid);
    return id !== undefined && isAlive(id) ? [id] : [];
  });
}

/** SIGTERM, then SIGKILL to those still alive after `graceMs`; resolves when all are gone. */
export async function terminate(ids: readonly ProcessId[], graceMs: number): Promise<void> {
  for (const id of ids) {
    // A frozen process cannot act on SIGTERM.
    signal(id, 'SIGTERM');
    signal(id, 'SIGCONT');
  }
  if (await waitFor(() => !ids.some(isAlive), graceMs)) return;
  for (const id of ids) signal(id, 'SIGKILL');
  const gone = await waitFor(() => !ids.some(isAlive), 15_000);
  if (!gone) {
    const left = ids.filter(isAlive).map((id) => id.pid);
    throw new Error(`processes ${left.join(', ')} do not end, even by SIGKILL: look at /proc/PID/stack`);
  }
}

/** Polls a condition. Returns false if it does not hold within `timeoutMs`. */
export async function waitFor(
  condition: () => boolean | Promise<boolean>,
  timeoutMs: number,
  everyMs = 50,
): Promise<boolean> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    if (await condition()) return true;
    if (performance.now() > end) return false;
    await sleep(everyMs);
  }
}
