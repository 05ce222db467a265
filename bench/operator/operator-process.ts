import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream, readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');
/** The built program, as users run it. From source, Node.js would keep its type stripper in memory. */
const PROGRAM = join(ROOT, 'dist/km-backup-operator.js');
const TICKS_PER_SECOND = 100;

/** CPU seconds that a process has used. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

export interface Memory {
  rssMb: number;
  peakMb: number;
}

export function memoryOf(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const mb = (field: string) =>
    Math.round(Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)?.[1]) / 1024);
  return { rssMb: mb('VmRSS'), peakMb: mb('VmHWM') };
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Sum of the samples of a metric whose labels contain `labels`. */
export function sumOf(metrics: string, name: string, labels = ''): number {
  let sum = 0;
  for (const line of metrics.split('\n')) {
    if (!line.startsWith(name)) continue;
    const rest = line.slice(name.length);
    if (rest[0] !== '{' && rest[0] !== ' ') continue;
    if (line.includes(labels)) sum += Number(line.slice(line.lastIndexOf(' ') + 1));
  }
  return sum;
}

export interface OperatorProcess {
  readonly pid: number;
  metrics(): Promise<string>;
  /** Milliseconds from the start of the process to /readyz. */
  readonly readyMs: number;
  /** Resolves once the operator is idle. */
  settled(): Promise<void>;
  stop(): Promise<void>;
}

/** Timeout of everything that is awaited. */
const LONGEST_MS = 4 * 60_000;
/** The operator counts as idle after this long with so little CPU time a second. */
const CALM_SECONDS = 4;
const CALM_CPU_SECONDS = 0.05;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Starts the operator as users run it, in a separate process. Needs `npm run build` first. */
export async function startOperatorProcess(
  kubeconfig: string,
  options: readonly string[],
  logFile: string,
  nodeOptions: readonly string[] = [],
): Promise<OperatorProcess> {
  const port = await freePort();
  const started = performance.now();
  const child: ChildProcess = spawn(
    process.execPath,
    [
      // The same options as in the image.
      '--max-semi-space-size=4',
      ...nodeOptions,
      PROGRAM,
      `--kubeconfig=${kubeconfig}`,
      '--image=km-backup:bench',
      '--http-host=127.0.0.1',
      `--http-port=${port}`,
      '--log-level=warn',
      ...options,
    ],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, POD_NAMESPACE: 'default' } },
  );
  const log = createWriteStream(logFile, { flags: 'a' });
  child.stdout!.pipe(log, { end: false });
  child.stderr!.pipe(log, { end: false });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const get = (path: string) => fetch(`http://127.0.0.1:${port}${path}`);
  for (;;) {
    if (performance.now() - started > LONGEST_MS) {
      child.kill('SIGKILL');
      throw new Error(`the operator does not become ready; see ${logFile}`);
    }
    if (child.exitCode !== null) throw new Error(`the operator ended with ${child.exitCode}; see ${logFile}`);
    if (
      await get('/readyz').then(
        (response) => response.ok,
        () => false,
      )
    )
      break;
    await pause(20);
  }
  const readyMs = performance.now() - started;
  const metrics = async () => {
    // The server may have closed an idle connection, which is not a failure.
    const page = await get('/metrics').catch(() => get('/metrics'));
    return page.text();
  };
  return {
    pid: child.pid!,
    readyMs,
    metrics,
    async settled() {
      // Measured by CPU time: reading the metrics of ten thousand schedules would itself be a load.
      const deadline = performance.now() + LONGEST_MS;
      for (let calm = 0; calm < CALM_SECONDS; ) {
        if (performance.now() > deadline)
          throw new Error(`the operator does not come to rest; see ${logFile}`);
        const before = cpuSeconds(child.pid!);
        await pause(1_000);
        calm = cpuSeconds(child.pid!) - before < CALM_CPU_SECONDS ? calm + 1 : 0;
      }
    },
    async stop() {
      child.kill('SIGTERM');
      await ended;
      log.end();
    },
  };
}
