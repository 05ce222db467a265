import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Component, ComponentSpec } from './components.ts';
import type { Layout } from './layout.ts';
import { childrenOf, identify, isAlive, type ProcessId, startDaemon, terminate } from './process.ts';

/** Environment variable by which every daemon of a cluster can be found, even if its pid file is lost. */
export const STATE_VARIABLE = 'KM_CLUSTER_STATE';

const pidFile = (layout: Layout, name: string) => join(layout.stateDir, 'run', `${name}.json`);

export const logFile = (layout: Layout, name: string) => join(layout.stateDir, 'logs', `${name}.log`);

export function recordPid(layout: Layout, name: string, id: ProcessId): void {
  mkdirSync(join(layout.stateDir, 'run'), { recursive: true });
  writeFileSync(pidFile(layout, name), JSON.stringify(id));
}

/** The running process of a daemon, if it is alive. */
export function daemonOf(layout: Layout, name: string): ProcessId | undefined {
  try {
    const id = JSON.parse(readFileSync(pidFile(layout, name), 'utf8')) as ProcessId;
    return isAlive(id) ? id : undefined;
  } catch {
    return undefined;
  }
}

/** The last lines a daemon wrote. */
export function logTail(layout: Layout, name: string, lines = 12): string {
  try {
    return readFileSync(logFile(layout, name), 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  } catch {
    return '(no log)';
  }
}

/** Starts a daemon, in the node's namespaces when `node` is given (the node's first process). */
export async function startComponent(
  layout: Layout,
  name: string,
  spec: ComponentSpec,
  node?: ProcessId,
): Promise<void> {
  mkdirSync(join(layout.stateDir, 'logs'), { recursive: true });
  const env = { [STATE_VARIABLE]: layout.stateDir };
  if (!spec.onNode) {
    const pid = await startDaemon(spec.command, spec.args, logFile(layout, name), env);
    const id = identify(pid);
    if (id === undefined) throw new Error(`${name} ended at once:\n${logTail(layout, name)}`);
    return recordPid(layout, name, id);
  }
  if (node === undefined) throw new Error(`${name} needs the node, which is not running`);
  const enter = ['--target', String(node.pid), '--mount', '--net', '--pid', '--', spec.command, ...spec.args];
  const pid = await startDaemon('nsenter', enter, logFile(layout, name), env);
  const nsenter = identify(pid);
  // Entering a process namespace requires a fork, so the daemon is nsenter's child.
  for (let tries = 0; tries < 100 && nsenter !== undefined && isAlive(nsenter); tries++) {
    const child = childrenOf(pid)[0];
    if (child !== undefined) return recordPid(layout, name, child);
    await sleep(10);
  }
  throw new Error(`${name} ended at once:\n${logTail(layout, name)}`);
}

export async function stopComponent(layout: Layout, name: string, graceMs: number): Promise<void> {
  const id = daemonOf(layout, name);
  if (id !== undefined) await terminate([id], graceMs);
  rmSync(pidFile(layout, name), { force: true });
}

/** Status of a GET, or undefined if nothing answers within 2 s. Does not check certificates. */
export function probe(url: string, token?: string): Promise<number | undefined> {
  const request = url.startsWith('https:') ? httpsRequest : httpRequest;
  return new Promise((resolve) => {
    const options = {
      agent: false as const,
      rejectUnauthorized: false,
      timeout: 2000,
      ...(token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } }),
    };
    const call = request(url, options, (response) => {
      response.resume();
      response.once('close', () => resolve(response.statusCode));
    });
    call.once('timeout', () => call.destroy());
    call.once('error', () => resolve(undefined));
    call.once('close', () => resolve(undefined));
    call.end();
  });
}

/** Waits until a daemon's health address answers 200. Rejects with its log if it dies or takes too long. */
export async function waitHealthy(
  layout: Layout,
  name: Component,
  spec: ComponentSpec,
  timeoutMs = 60_000,
): Promise<void> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    if (daemonOf(layout, name) === undefined) {
      throw new Error(`${name} ended; its log, ${logFile(layout, name)}, ends:\n${logTail(layout, name)}`);
    }
    if (spec.health === undefined || (await probe(spec.health)) === 200) return;
    if (performance.now() > end) {
      throw new Error(
        `${name} does not answer at ${spec.health} after ${timeoutMs / 1000} s; its log, ${logFile(layout, name)}, ends:\n${logTail(layout, name)}`,
      );
    }
    await sleep(50);
  }
}
