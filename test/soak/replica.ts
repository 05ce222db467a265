import { type ChildProcess, fork } from 'node:child_process';
import { createWriteStream, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type FaultProxy, proxyOf } from '../faultproxy/index.ts';
import { sample } from '../support/operator-http.ts';

const CHILD = join(import.meta.dirname, 'operator-child.ts');

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A replica's wall clock: stopped at epoch milliseconds, or offset from the real time. */
export type WallClock = { offsetMs: number } | { stoppedMs: number };

/** One replica of the operator behind its own proxy. It is restarted whenever it ends. */
export class Replica {
  readonly name: string;
  readonly proxy: FaultProxy;
  readonly #kubeconfig: string;
  readonly #logFile: string;
  readonly #port: number;
  #child: ChildProcess | undefined;
  #wall: WallClock = { offsetMs: 0 };
  #clockSetRight: NodeJS.Timeout | undefined;
  /** The latest time that its wall clock has shown; epoch milliseconds. */
  #latestMs = 0;
  #wanted = true;
  /** How often it ended by itself because it lost the Lease, as it must. */
  lost = 0;
  /** Its last output when it ended by itself for any other reason. */
  readonly crashes: string[] = [];

  private constructor(name: string, dir: string, proxy: FaultProxy, port: number) {
    this.name = name;
    this.proxy = proxy;
    this.#port = port;
    this.#kubeconfig = join(dir, `${name}.kubeconfig`);
    this.#logFile = join(dir, `${name}.log`);
    writeFileSync(this.#kubeconfig, proxy.kubeconfig());
  }

  static async start(name: string, dir: string, kubeconfig: string): Promise<Replica> {
    const replica = new Replica(name, dir, await proxyOf(kubeconfig), await freePort());
    replica.#spawn();
    return replica;
  }

  #spawn(): void {
    const options = [
      `--kubeconfig=${this.#kubeconfig}`,
      '--image=km-backup:soak',
      '--http-host=127.0.0.1',
      `--http-port=${this.#port}`,
      '--api-qps=1000',
      '--workers=20',
      '--max-concurrent-runs=1000',
      '--max-concurrent-runs-per-namespace=1000',
      // Shorter than usual, so that a short soak sees many leaders.
      '--lease-duration=6',
      '--renew-deadline=4',
      '--retry-period=1',
    ];
    const child = fork(CHILD, [JSON.stringify(this.#wall), ...options], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { ...process.env, POD_NAME: this.name, POD_NAMESPACE: 'default' },
    });
    const log = createWriteStream(this.#logFile, { flags: 'a' });
    child.stdout?.pipe(log, { end: false });
    child.stderr?.pipe(log, { end: false });
    let errors = '';
    child.stderr?.on('data', (chunk) => {
      errors = `${errors}${chunk}`.slice(-2_000);
    });
    child.on('error', () => {});
    child.once('close', () => {
      log.end();
      if (this.#child !== child) return;
      this.#child = undefined;
      if (!this.#wanted) return;
      if (errors.includes('LeadershipLostError')) this.lost += 1;
      else this.crashes.push(`${this.name}: ${errors.trim() || 'ended without a word'}`);
      setTimeout(() => this.#wanted && !this.#child && this.#spawn(), 1_000);
    });
    this.#child = child;
  }

  /** Sets its wall clock, now and after restarts. */
  setClock(wall: WallClock): void {
    clearTimeout(this.#clockSetRight);
    this.#latestMs = this.latestMs();
    this.#wall = wall;
    if (this.#child?.connected) this.#child.send(wall, () => {});
  }

  /** The latest time that its wall clock has shown up to now; epoch milliseconds. */
  latestMs(): number {
    return Math.max(
      this.#latestMs,
      'stoppedMs' in this.#wall ? this.#wall.stoppedMs : Date.now() + this.#wall.offsetMs,
    );
  }

  /** Sets its wall clock wrong for a while. */
  stepClock(offsetMs: number, forMs: number): void {
    this.setClock({ offsetMs });
    this.#clockSetRight = setTimeout(() => this.setClock({ offsetMs: 0 }), forMs);
  }

  /** SIGKILL; it comes back after the pause. */
  kill(pauseMs: number): void {
    const child = this.#child;
    if (!child) return;
    this.#child = undefined;
    child.kill('SIGKILL');
    setTimeout(() => this.#wanted && !this.#child && this.#spawn(), pauseMs);
  }

  /** SIGSTOP, and SIGCONT after the pause. */
  freeze(pauseMs: number): void {
    const child = this.#child;
    child?.kill('SIGSTOP');
    setTimeout(() => child?.kill('SIGCONT'), pauseMs);
  }

  /** Its metrics, or undefined while it does not answer. */
  async metrics(): Promise<string | undefined> {
    try {
      const signal = AbortSignal.timeout(5_000);
      const response = await fetch(`http://127.0.0.1:${this.#port}/metrics`, { signal });
      return await response.text();
    } catch {
      return undefined;
    }
  }

  async leads(): Promise<boolean> {
    const page = await this.metrics();
    return page !== undefined && sample(page, 'km_operator_leader', {}) === 1;
  }

  async end(): Promise<void> {
    this.#wanted = false;
    const child = this.#child;
    if (child) {
      const closed = new Promise((resolve) => child.once('close', resolve));
      child.kill('SIGKILL');
      await closed;
    }
    await this.proxy.close();
  }
}
