/** Runs a program as a whole process and measures it: what every bench compares. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';

/** Of the command with all its children. */
export interface Measured {
  readonly seconds: number;
  /** User and system time of all processes. */
  readonly cpuSeconds: number;
  /** Peak resident set of the largest process. */
  readonly memoryBytes: number;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Statuses that count as success. Default: 0. */
  readonly statuses?: readonly number[];
}

const FORMAT = '%M %U %S';

/** @throws when the command cannot be run, or ends with another status than `statuses` */
export function measure(command: readonly string[], options: RunOptions = {}): Measured {
  const directory = mkdtempSync(join(tmpdir(), 'km-bench-time-'));
  const figures = join(directory, 'figures');
  try {
    const started = performance.now();
    run(['time', '-o', figures, '-f', FORMAT, '--quiet', ...command], options);
    const seconds = (performance.now() - started) / 1000;
    const last = readFileSync(figures, 'utf8').trim().split('\n').at(-1)!;
    const [memory, user, system] = last.split(' ').map(Number) as [number, number, number];
    return { seconds, cpuSeconds: user + system, memoryBytes: memory * 1024 };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/**
 * @returns what the command printed
 * @throws as `measure`
 */
export function run(command: readonly string[], { statuses = [0], ...options }: RunOptions = {}): string {
  const [program = '', ...args] = command;
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    ...options,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (error) throw new Error(`${program} cannot be run: ${error.message}`);
  if (!statuses.includes(status ?? -1)) throw new Error(`${command.join(' ')}: status ${status}\n${stderr}`);
  return stdout;
}

/** What all processes of this machine have used since it started: where a measured work has no process of its own. */
export function machineCpuSeconds(): number {
  const busy = cpus().map(({ times: { user, nice, sys, irq } }) => user + nice + sys + irq);
  return busy.reduce((sum, ms) => sum + ms, 0) / 1000;
}

/** The median of the times, and the greatest memory. */
export function summarize(runs: readonly Measured[]): Measured {
  return {
    seconds: median(runs.map(({ seconds }) => seconds)),
    cpuSeconds: median(runs.map(({ cpuSeconds }) => cpuSeconds)),
    memoryBytes: Math.max(...runs.map(({ memoryBytes }) => memoryBytes)),
  };
}

export function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]!;
}
