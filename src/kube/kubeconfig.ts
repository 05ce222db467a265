import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';
import type { ApiServer } from './api-server.ts';

interface Kubeconfig {
  'current-context'?: string;
  contexts?: { name: string; context?: { cluster?: string; user?: string } }[];
  clusters?: { name: string; cluster?: Record<string, unknown> }[];
  users?: { name: string; user?: Record<string, unknown> }[];
}

const CLUSTER = new Set([
  'server',
  'certificate-authority',
  'certificate-authority-data',
  'tls-server-name',
  'extensions',
]);
const USER = new Set([
  'client-certificate',
  'client-certificate-data',
  'client-key',
  'client-key-data',
  'token',
  'extensions',
]);

/**
 * Reads the current context of a kubeconfig, if it uses only certificates and a token, as data or files.
 * @returns Undefined if it needs more, such as a plugin or a proxy. The client library reads those, but takes 90 MB of
 *   memory.
 */
export async function plainKubeconfig(file: string): Promise<ApiServer | undefined> {
  const config = parse(await readFile(file, 'utf8')) as Kubeconfig | null;
  const context = config?.contexts?.find(({ name }) => name === config['current-context'])?.context;
  const cluster = config?.clusters?.find(({ name }) => name === context?.cluster)?.cluster;
  const user = config?.users?.find(({ name }) => name === context?.user)?.user;
  if (!cluster || !user) return undefined;
  const onlyPlain = (fields: Record<string, unknown>, plain: ReadonlySet<string>) =>
    Object.entries(fields).every(
      ([name, value]) => plain.has(name) && (name === 'extensions' || typeof value === 'string'),
    );
  if (!onlyPlain(cluster, CLUSTER) || !onlyPlain(user, USER)) return undefined;

  const text = (fields: Record<string, unknown>, name: string) => fields[name] as string | undefined;
  const bytes = async (fields: Record<string, unknown>, name: string) => {
    const data = text(fields, `${name}-data`);
    if (data !== undefined) return Buffer.from(data, 'base64');
    const path = text(fields, name);
    return path === undefined ? undefined : readFile(resolve(dirname(file), path));
  };
  const server = text(cluster, 'server');
  if (server === undefined) return undefined;
  const [ca, cert, key] = await Promise.all([
    bytes(cluster, 'certificate-authority'),
    bytes(user, 'client-certificate'),
    bytes(user, 'client-key'),
  ]);
  const servername = text(cluster, 'tls-server-name');
  const token = text(user, 'token');
  return {
    url: server.replace(/\/$/, ''),
    tls: { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }), ...(servername && { servername }) },
    authenticate: async () => (token === undefined ? {} : { authorization: `Bearer ${token}` }),
  };
}
