/** Collects what a bug report needs: resources of the operator, its Deployment, Jobs, pods, Events and logs. No Secrets. */

import { MANAGED_SELECTOR } from '../api/names.ts';
import type { KubeObject } from '../kube/object.ts';
import type { Cluster } from './cluster.ts';
import { doctor } from './doctor.ts';
import { diagnose, isOurs } from './doctor-observe.ts';
import { unlessDenied } from './errors.ts';
import { logOf } from './logs.ts';
import { redact, redactText } from './redact.ts';

/** Lines of each log, and how many pods. */
const LOG_LINES = 2_000;
const MOST_LOGS = 10;

/** Files by their names. Everything is redacted. */
export async function collectReport(
  cluster: Cluster,
  namespace: string,
  version: string,
): Promise<Map<string, string>> {
  const { resources } = cluster;
  const files = new Map<string, string>();
  const json = (name: string, value: unknown) =>
    files.set(name, `${JSON.stringify(redact(value), null, 2)}\n`);
  const seen = await diagnose(cluster, namespace);
  const { rights, definitions, operator, quotas, claims, pods, schedules, backups, nowMs } = seen;
  json('about.json', {
    plugin: version,
    node: process.versions.node,
    time: new Date(nowMs).toISOString(),
    namespace,
  });
  json('doctor.json', doctor(seen));
  json('rights.json', rights);
  json('operator.json', operator);
  json(
    'crds.json',
    [...definitions.keys()].map((name) => ({ name, found: definitions.get(name) !== undefined })),
  );
  json('quotas.json', quotas);
  json('claims.json', claims);
  json('schedules.json', schedules);
  json('backups.json', backups);
  const list = async (name: string, asked: Promise<{ items: KubeObject[] }>) => {
    try {
      const found = await unlessDenied(asked);
      json(`${name}.json`, found === 'denied' ? found : found.items);
    } catch (error) {
      json(`${name}.json`, { error: (error as Error).message });
    }
  };
  await list('restores', resources.restores.list(namespace));
  await list('jobs', resources.jobs.list(namespace, { labelSelector: MANAGED_SELECTOR }));
  await list('events', eventsOfOurs(cluster, namespace));
  const ours = pods === 'denied' ? [] : pods.filter(isOurs);
  json('pods.json', pods === 'denied' ? pods : ours);
  for (const { metadata } of ours.slice(0, MOST_LOGS)) {
    const lines = await logOf(cluster, metadata, { tailLines: LOG_LINES }).catch((error: Error) => [
      error.message,
    ]);
    files.set(`logs/${metadata.name}.log`.slice(0, 90), `${redactText(lines.join('\n'))}\n`);
  }
  return files;
}

/** Events of our kinds and of Jobs and pods: not those of other applications. */
async function eventsOfOurs({ resources }: Cluster, namespace: string): Promise<{ items: KubeObject[] }> {
  const { items } = await resources.events.list(namespace);
  const regards = (event: KubeObject) =>
    (event as { regarding?: { kind?: string; name?: string } }).regarding;
  const kinds = /^(Km\w+|Job|PersistentVolumeClaim)$/;
  return { items: items.filter((event) => kinds.test(regards(event)?.kind ?? '')) };
}
