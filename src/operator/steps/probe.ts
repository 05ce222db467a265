/** Asks a Service of the namespace over HTTP, for `http` steps. */
import type { Step } from '../../api/step.ts';
import { isNotFound } from '../../kube/errors.ts';
import type { ResourceClient } from '../../kube/resources.ts';
import type { Service } from '../workloads.ts';

/** One try; a step asks again until its own timeout. Milliseconds. */
const TRY_MS = 5_000;
/** Read of the answer's body. */
const BODY_BYTES = 256 * 1024;

export interface Answer {
  readonly ok: boolean;
  readonly message: string;
}

async function readBody(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    size += chunk.length;
    if (size >= BODY_BYTES) break;
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Goes to the Service's cluster IP alone: a name or a redirect could lead elsewhere. */
export async function probe(
  http: NonNullable<Step['http']>,
  namespace: string,
  services: ResourceClient<Service>,
): Promise<Answer> {
  const { service, port, path, method, expect } = http;
  let address: string | undefined;
  try {
    address = (await services.get(namespace, service)).spec?.clusterIP;
  } catch (error) {
    if (!isNotFound(error)) throw error;
    return { ok: false, message: `There is no Service ${service} in namespace ${namespace}.` };
  }
  if (!address || address === 'None') {
    return { ok: false, message: `Service ${service} has no cluster IP (headless): an http step needs one.` };
  }
  const host = address.includes(':') ? `[${address}]` : address;
  const where = `${method} http://${service}:${port}${path}`;
  try {
    const answer = await fetch(`http://${host}:${port}${path}`, {
      method,
      // A redirect could lead out of the namespace.
      redirect: 'manual',
      headers: { host: `${service}.${namespace}.svc`, 'user-agent': 'km-backup-operator' },
      signal: AbortSignal.timeout(TRY_MS),
    });
    const text = answer.body ? await readBody(answer.body) : '';
    if (answer.status !== expect.status) {
      return { ok: false, message: `${where} answered ${answer.status}, not ${expect.status}.` };
    }
    return expect.bodyContains === undefined || text.includes(expect.bodyContains)
      ? { ok: true, message: `${where} answered ${answer.status}.` }
      : {
          ok: false,
          message: `${where} answered ${answer.status}, without the text of expect.bodyContains.`,
        };
  } catch (error) {
    const { message, cause } = error as Error & { cause?: { code?: string } };
    return { ok: false, message: `${where}: ${cause?.code ?? message}.` };
  }
}
