/** The state of all backups of a namespace or a cluster, as far as the caller may see it. */
import type { KmBackup } from '../api/backup.ts';
import type { KmBackupSchedule } from '../api/backup-schedule.ts';
import { type Overview, overviewOfResources } from '../overview/index.ts';
import type { Cluster } from './cluster.ts';
import { unlessDenied, unlessMissing } from './errors.ts';

export interface OverviewOptions {
  /** Which runs to read: all, or only the last of each schedule where that did not succeed. */
  readonly runs: 'all' | 'unsuccessful';
  /** Whether to read the claims, for the coverage. */
  readonly claims?: boolean;
}

/** Of more, listing all is cheaper than asking for each. */
const MOST_SINGLE = 500;
/** A list of all namespaces comes in pages of this many. */
const PAGE = 500;

/**
 * @param namespace Undefined: all.
 * @throws {KubeError} when the schedules cannot be listed. What else cannot be read is left out.
 */
export async function readOverview(
  cluster: Cluster,
  namespace: string | undefined,
  { runs, claims = false }: OverviewOptions,
): Promise<Overview> {
  const { resources, clock } = cluster;
  const pageSize = PAGE;
  const [schedules, restores, claimList, everyRun] = await Promise.all([
    resources.schedules.list(namespace, { pageSize }),
    unlessDenied(resources.restores.list(namespace, { pageSize })),
    claims ? unlessDenied(resources.claims.list(namespace, { pageSize })) : undefined,
    runs === 'all' ? unlessDenied(resources.backups.list(namespace, { pageSize })) : undefined,
  ]);
  const read = <T>(list: { items: T[] } | 'denied' | undefined): T[] | undefined =>
    list === 'denied' ? undefined : list?.items;
  const backups =
    runs === 'all' ? (read(everyRun) ?? []) : await lastRuns(cluster, namespace, schedules.items);
  const known = read(claimList);
  return overviewOfResources(
    { schedules: schedules.items, backups, restores: read(restores) ?? [], ...(known && { claims: known }) },
    clock.now(),
  );
}

/** The last runs of schedules that are not healthy: their records say why. */
async function lastRuns(
  { resources }: Cluster,
  namespace: string | undefined,
  schedules: readonly KmBackupSchedule[],
): Promise<KmBackup[]> {
  const wanted = schedules.flatMap(({ metadata, status }) => {
    const last = status?.lastBackup;
    return last && last.phase !== 'Succeeded' ? [{ namespace: metadata.namespace, name: last.name }] : [];
  });
  if (wanted.length > MOST_SINGLE) {
    const all = await unlessDenied(resources.backups.list(namespace, { pageSize: PAGE }));
    return all === 'denied' ? [] : all.items;
  }
  const found = await Promise.all(
    wanted.map((place) => unlessDenied(unlessMissing(resources.backups.get(place.namespace, place.name)))),
  );
  return found.filter((run): run is KmBackup => run !== undefined && run !== 'denied');
}
