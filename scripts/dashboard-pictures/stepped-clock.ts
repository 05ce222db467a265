/**
 * A clock that is stepped through days within minutes, and the API server as it looks by that clock: its own times are
 * those of the machine, so a proxy translates them.
 */
import { createServer } from 'node:http';
import { request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type Clock, systemClock } from '../../src/clock/index.ts';
import type { ApiServer } from '../../src/kube/api-server.ts';

/** How often the operator looks whether its clock was stepped; milliseconds. */
const CLOCK_CHECK_MS = 5_000;
const TIMESTAMP = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?=(?:\.\d+)?Z)/g;

/** Between steps it runs at the usual speed. Start it in the past: a time since its start is then the machine's. */
export class SteppedClock implements Clock {
  /** Offsets and since when they hold by the machine's clock; oldest first. */
  readonly #steps: { readonly fromMs: number; readonly offsetMs: number }[] = [];
  readonly #checks = new Set<() => void>();

  constructor(startMs: number) {
    this.step(startMs);
  }

  monotonic = systemClock.monotonic;
  now = () => Date.now() + this.offsetMs;

  get offsetMs(): number {
    return this.#steps.at(-1)!.offsetMs;
  }

  step(toMs: number): void {
    const fromMs = Date.now();
    this.#steps.push({ fromMs, offsetMs: toMs - fromMs });
  }

  /** Lets the operator see a step at once. */
  wake(): void {
    for (const check of [...this.#checks]) check();
  }

  after = (delayMs: number, callback: () => void): (() => void) => {
    if (delayMs !== CLOCK_CHECK_MS) return systemClock.after(delayMs, callback);
    const cancel = systemClock.after(delayMs, () => done());
    const done = () => {
      cancel();
      this.#checks.delete(done);
      callback();
    };
    this.#checks.add(done);
    return () => {
      cancel();
      this.#checks.delete(done);
    };
  };

  /** The text with times of the machine's clock as times of this one. */
  translate(text: string): string {
    const startMs = Math.floor(this.#steps[0]!.fromMs / 1000) * 1000;
    return text.replace(TIMESTAMP, (time) => {
      const ms = Date.parse(`${time}Z`);
      if (ms < startMs) return time;
      // The time is cut to its second, and what happens right after a step belongs to that step.
      const { offsetMs } = this.#steps.findLast(({ fromMs }) => fromMs <= ms + 999) ?? this.#steps[0]!;
      return new Date(ms + offsetMs).toISOString().slice(0, 19);
    });
  }
}

/** @returns the kubeconfig of an API server whose times are those of the clock */
export async function startTranslatingProxy(
  upstream: ApiServer,
  clock: SteppedClock,
): Promise<{ kubeconfig: string; close(): void }> {
  const { hostname, port } = new URL(upstream.url);
  const server = createServer(async (incoming, response) => {
    const { host: _, ...headers } = incoming.headers;
    const options = { hostname, port, path: incoming.url, method: incoming.method, ...upstream.tls };
    const all = { ...headers, ...(await upstream.authenticate()) };
    const outgoing = request({ ...options, headers: all }, (answer) => {
      response.writeHead(answer.statusCode!, { 'content-type': answer.headers['content-type'] });
      response.flushHeaders();
      let rest = '';
      answer.setEncoding('utf8').on('data', (chunk: string) => {
        // Whole lines only: a time may be cut in two, and each event of a watch is a line.
        const text = rest + chunk;
        const end = text.lastIndexOf('\n') + 1;
        rest = text.slice(end);
        if (end > 0) response.write(clock.translate(text.slice(0, end)));
      });
      answer.once('end', () => response.end(clock.translate(rest)));
      answer.once('error', () => response.destroy());
    });
    outgoing.once('error', () => response.destroy());
    response.once('close', () => outgoing.destroy());
    incoming.pipe(outgoing);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port: own } = server.address() as AddressInfo;
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'c',
    clusters: [{ name: 'c', cluster: { server: `http://127.0.0.1:${own}` } }],
    users: [{ name: 'u', user: {} }],
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
  };
  return {
    kubeconfig: JSON.stringify(config),
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
