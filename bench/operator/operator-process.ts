import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream, readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';

const PROGRAM = join(import.meta.dirname, '../../src/cli/operator.ts');
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
  /** Resolves when nothing is queued and nothing but watches and the Lease asks the API server. */
  settled(): Promise<void>;
  stop(): Promise<void>;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** The operator as users run it, as a process of its own. */
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
    // A connection that the server closed while it was idle is no failure.
    const page = await get('/metrics').catch(() => get('/metrics'));
    return page.text();
  };
  return {
    pid: child.pid!,
    readyMs,
    metrics,
    async settled() {
      let calm = 0;
      let before = -1;
      while (calm < 2) {
        const page = await metrics();
        const writes =
          sumOf(page, 'km_operator_api_requests_total', 'method="PATCH"') +
          sumOf(page, 'km_operator_api_requests_total', 'method="POST"');
        const leading = sumOf(page, 'km_operator_leader') === 1;
        const queued = sumOf(page, 'km_operator_queue_depth');
        calm = leading && queued === 0 && writes === before ? calm + 1 : 0;
        before = writes;
        await pause(1_000);
      }
    },
    async stop() {
      child.kill('SIGTERM');
      await ended;
      log.end();
    },
  };
}
