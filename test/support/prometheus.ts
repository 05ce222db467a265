import { spawn } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { cached } from '../cluster/cache.ts';
import { cacheRoot } from '../cluster/layout.ts';
import { run, succeeds } from '../cluster/process.ts';
import { elapsedLog } from '../cluster/progress.ts';
import { eventually } from './kubectl.ts';

export interface PrometheusPrograms {
  readonly prometheus: string;
  readonly promtool: string;
}

/** The programs on PATH, or from the Debian package, unpacked but not installed: installing would start a service. */
export async function ensurePrometheus(): Promise<PrometheusPrograms> {
  if ((await succeeds('prometheus', ['--version'])) && (await succeeds('promtool', ['--version']))) {
    return { prometheus: 'prometheus', promtool: 'promtool' };
  }
  const log = elapsedLog(process.stderr);
  const cache = cacheRoot(process.env, homedir());
  const dir = await cached(
    cache,
    'prometheus-debian',
    log,
    'fetching Prometheus from Debian',
    async (out) => {
      const download = () => run('apt-get', ['-q', 'download', 'prometheus'], { cwd: out });
      await download().catch(async () => {
        await run('apt-get', ['-q', '-o', 'DPkg::Lock::Timeout=300', 'update']);
        await download();
      });
      const [archive] = (await readdir(out)).filter((name) => name.endsWith('.deb'));
      await run('dpkg-deb', ['--extract', join(out, archive!), out]);
    },
  );
  return { prometheus: join(dir, 'usr/bin/prometheus'), promtool: join(dir, 'usr/bin/promtool') };
}

type QueryParameters = { readonly query: string } & Readonly<Record<string, string | number>>;

export interface Prometheus {
  /** What an endpoint below /api/v1/ answers. @throws with what Prometheus says is wrong */
  ask<T>(endpoint: string, parameters: QueryParameters): Promise<T>;
  /** The result of an instant query. */
  query(expression: string): Promise<{ metric: Record<string, string>; value: [number, string] }[]>;
  stop(): Promise<void>;
}

/** A free port. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close((error) => (error ? reject(error) : resolve(port)));
    });
  });
}

/** Starts Prometheus with the prometheus.yml of a folder, where it keeps its data too. */
export async function startPrometheus(programs: PrometheusPrograms, folder: string): Promise<Prometheus> {
  const url = `http://127.0.0.1:${await freePort()}`;
  const child = spawn(
    programs.prometheus,
    [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=${url.slice('http://'.length)}`,
      '--log.level=warn',
    ],
    { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] },
  );
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  await eventually(
    () => fetch(`${url}/-/ready`),
    ({ ok }) => ok,
    () => 'Prometheus to be ready',
  );
  const ask = async <T>(endpoint: string, parameters: QueryParameters) => {
    const asked = new URLSearchParams(
      Object.entries(parameters).map(([name, value]) => [name, String(value)]),
    );
    const response = await fetch(`${url}/api/v1/${endpoint}?${asked}`);
    const body = (await response.json()) as { status: string; error?: string; data: T };
    if (body.status !== 'success') throw new Error(`${parameters.query}: ${body.error}`);
    return body.data;
  };
  return {
    ask,
    query: async (expression) => (await ask<{ result: never[] }>('query', { query: expression })).result,
    stop: async () => {
      child.kill();
      await ended;
    },
  };
}
