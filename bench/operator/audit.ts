import { createReadStream, statSync } from 'node:fs';
import { createInterface } from 'node:readline';

/** Requests by agent, each named `verb resource[/subresource]`. */
export type RequestCounts = Map<string, number>;

interface AuditEvent {
  stage: string;
  verb: string;
  userAgent?: string;
  user?: { username?: string };
  objectRef?: { resource?: string; subresource?: string; namespace?: string };
}

/** The present end of the audit log, in bytes: later requests are read from there. */
export const auditEnd = (file: string) => statSync(file).size;

/** The client of a request: the operator, a controller (by its service account), or others. */
function agentOf({ userAgent = '', user }: AuditEvent): string {
  if (userAgent.startsWith('km-backup-operator')) return 'operator';
  const account = /^system:serviceaccount:kube-system:(.+)$/.exec(user?.username ?? '')?.[1];
  return account ?? userAgent.split('/')[0] ?? '';
}

/**
 * Counts the requests that finished since an offset, without watches, which finish too late to count.
 * @param within Namespaces to count; all if absent.
 */
export async function countRequests(
  file: string,
  offset: number,
  within: (namespace: string) => boolean = () => true,
): Promise<Map<string, RequestCounts>> {
  const counts = new Map<string, RequestCounts>();
  const lines = createInterface(createReadStream(file, { start: offset }));
  for await (const line of lines) {
    const event = JSON.parse(line) as AuditEvent;
    if (event.stage !== 'ResponseComplete' || event.verb === 'watch') continue;
    const { resource = '', subresource, namespace = '' } = event.objectRef ?? {};
    if (!within(namespace)) continue;
    const name = `${event.verb} ${resource}${subresource ? `/${subresource}` : ''}`;
    const agent = agentOf(event);
    const own = counts.get(agent) ?? new Map<string, number>();
    own.set(name, (own.get(name) ?? 0) + 1);
    counts.set(agent, own);
  }
  return counts;
}
