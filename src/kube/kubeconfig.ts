/** Reads kubeconfig files as kubectl does: merged, one context of them, credentials by certificate, token or plugin. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';
import type { ApiServer } from './api-server.ts';
import { KubeConfigError } from './errors.ts';
import { type ExecConfig, execCredentials } from './exec-credentials.ts';

interface Named<K extends string> {
  readonly name: string;
  readonly value: Readonly<Record<string, unknown>>;
  /** Folder of the file that it stands in: its paths are relative to that. */
  readonly folder: string;
  readonly kind: K;
}

interface Merged {
  readonly files: readonly string[];
  readonly current: string | undefined;
  readonly contexts: readonly Named<'context'>[];
  readonly clusters: readonly Named<'cluster'>[];
  readonly users: readonly Named<'user'>[];
}

export interface KubeconfigChoice {
  /** In order: of two entries with one name, the first counts. */
  readonly files: readonly string[];
  /** Default: the current one. */
  readonly context?: string | undefined;
}

export interface ChosenContext {
  readonly server: ApiServer;
  readonly context: string;
  /** Of the context; undefined if it names none. */
  readonly namespace: string | undefined;
}

/**
 * One context of these files, and how to reach its API server. Runs the context's credential plugin, if it has one.
 * @throws {KubeConfigError} when a file cannot be read, or lacks what is needed, or asks for what is not supported.
 */
export async function chosenContext({ files, context: wanted }: KubeconfigChoice): Promise<ChosenContext> {
  const merged = await mergedFiles(files);
  const where = files.join(', ');
  const name = wanted ?? merged.current;
  if (!name) throw new KubeConfigError(`${where}: there is no current context. Choose one: --context NAME.`);
  const context = merged.contexts.find((one) => one.name === name);
  if (!context) {
    const known = [...new Set(merged.contexts.map((one) => one.name))].join(', ');
    throw new KubeConfigError(`${where}: there is no context ${name}${known && `. There are: ${known}`}.`);
  }
  const part = <K extends 'cluster' | 'user'>(kind: K, list: readonly Named<K>[]): Named<K> => {
    const found = list.find((one) => one.name === context.value[kind]);
    if (found) return found;
    throw new KubeConfigError(`${where}: context ${name} names no ${kind} that exists.`);
  };
  const cluster = part('cluster', merged.clusters);
  const user = part('user', merged.users);
  return {
    server: await apiServer(cluster, user, where),
    context: name,
    namespace: text(context.value, 'namespace'),
  };
}

async function mergedFiles(files: readonly string[]): Promise<Merged> {
  // As kubectl does: of several files, some may not exist.
  const there = files.filter((file) => existsSync(file));
  const parsed = await Promise.all((there.length > 0 ? there : files).map(parsedFile));
  const all = <K extends 'context' | 'cluster' | 'user'>(kind: K): Named<K>[] =>
    parsed.flatMap(({ config, folder }) =>
      list(config[`${kind}s`]).map((item) => ({
        name: String(item['name']),
        value: (item[kind] ?? {}) as Record<string, unknown>,
        folder,
        kind,
      })),
    );
  return {
    files,
    current: parsed.map(({ config }) => text(config, 'current-context')).find(Boolean),
    contexts: all('context'),
    clusters: all('cluster'),
    users: all('user'),
  };
}

async function parsedFile(file: string): Promise<{ config: Record<string, unknown>; folder: string }> {
  try {
    const config = parse(await readFile(file, 'utf8')) as unknown;
    const isMap = typeof config === 'object' && config !== null && !Array.isArray(config);
    if (isMap) return { config: config as Record<string, unknown>, folder: dirname(file) };
  } catch (error) {
    throw new KubeConfigError(`${file} cannot be read as a kubeconfig: ${(error as Error).message}`, {
      cause: error,
    });
  }
  throw new KubeConfigError(`${file} is not a kubeconfig.`);
}

const list = (value: unknown): Record<string, unknown>[] =>
  Array.isArray(value) ? value.filter((item) => typeof item === 'object' && item !== null) : [];

function text(fields: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const value = fields[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

async function apiServer(cluster: Named<'cluster'>, user: Named<'user'>, where: string): Promise<ApiServer> {
  const url = text(cluster.value, 'server');
  if (url === undefined) throw new KubeConfigError(`${where}: cluster ${cluster.name} has no server.`);
  if (text(cluster.value, 'proxy-url'))
    throw new KubeConfigError(`${where}: proxy-url is not supported; reach the API server directly`);
  const servername = text(cluster.value, 'tls-server-name');
  const [ca, cert, key] = await Promise.all([
    bytes(cluster, 'certificate-authority'),
    bytes(user, 'client-certificate'),
    bytes(user, 'client-key'),
  ]);
  const { tls, ...credentials } = await credentialsOf(user, where);
  return {
    url: url.replace(/\/$/, ''),
    tls: {
      ...(ca && { ca }),
      ...(cert && { cert }),
      ...(key && { key }),
      ...(servername && { servername }),
      ...(cluster.value['insecure-skip-tls-verify'] === true && { rejectUnauthorized: false }),
      ...tls,
    },
    ...credentials,
  };
}

/** A field that holds a path, or with `-data` at its end the bytes in base64. */
async function bytes({ value, folder }: Named<string>, name: string): Promise<Buffer | undefined> {
  const data = text(value, `${name}-data`);
  if (data !== undefined) return Buffer.from(data, 'base64');
  const path = text(value, name);
  return path === undefined ? undefined : readFrom(resolve(folder, path));
}

async function readFrom(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new KubeConfigError(
      `${path}, which the kubeconfig names, cannot be read: ${(error as Error).message}`,
      {
        cause: error,
      },
    );
  }
}

type Credentials = Pick<ApiServer, 'authenticate' | 'forgetCredentials'> & { tls?: ApiServer['tls'] };

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

async function credentialsOf({ value, folder, name }: Named<'user'>, where: string): Promise<Credentials> {
  if (value['exec']) return execCredentials(value['exec'] as ExecConfig, folder);
  const tokenFile = text(value, 'tokenFile');
  if (tokenFile !== undefined) {
    const path = resolve(folder, tokenFile);
    return { authenticate: async () => bearer((await readFrom(path)).toString('utf8').trim()) };
  }
  const token = text(value, 'token') ?? oidcToken(value, name, where);
  if (token !== undefined) return { authenticate: async () => bearer(token) };
  const username = text(value, 'username');
  if (username !== undefined) {
    const pair = Buffer.from(`${username}:${text(value, 'password') ?? ''}`).toString('base64');
    return { authenticate: async () => ({ authorization: `Basic ${pair}` }) };
  }
  return { authenticate: async () => ({}) };
}

/** The token that kubectl keeps for `auth-provider: oidc`, and refreshes when it is used. */
function oidcToken(user: Readonly<Record<string, unknown>>, name: string, where: string): string | undefined {
  const provider = user['auth-provider'] as { name?: string; config?: Record<string, string> } | undefined;
  if (!provider) return undefined;
  const token = provider.config?.['id-token'];
  if (provider.name === 'oidc' && token !== undefined) return token;
  throw new KubeConfigError(
    `${where}: user ${name} has the auth-provider ${provider.name}, which gives no token. Use a credential plugin (exec).`,
  );
}
