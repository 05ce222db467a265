/** Restores in two steps: a plan that changes nothing, and the restore that does exactly what the plan says. */

import { ExitCode } from '../api/exit-codes.ts';
import { isRestoreFinished } from '../api/finished.ts';
import { API_VERSION } from '../api/names.ts';
import type { KmRestore, KmRestoreSpec } from '../api/restore.ts';
import type { RestorePlan } from '../api/restore-result.ts';
import { isNotFound } from '../kube/errors.ts';
import type { Cluster, Place, Waiting } from './cluster.ts';
import { FleetError } from './errors.ts';
import { restoreOf } from './find.ts';
import { generatedName } from './run-backup.ts';
import { until } from './wait.ts';

type Given<T> = { [K in keyof T]?: T[K] | undefined };

/** What to restore, and where to: the fields of a KmRestore that a person decides on. */
export type RestoreRequest = Pick<KmRestoreSpec, 'source' | 'target'> &
  Given<Pick<KmRestoreSpec, 'paths' | 'quiesce' | 'checks' | 'keepOldStateFor' | 'verify' | 'rollback'>>;

/** A KmRestore in the phase Planned. */
export interface PlannedRestore {
  readonly restore: KmRestore;
  readonly plan: RestorePlan;
}

/** Only a restore in place has a plan: elsewhere nothing that exists is changed. */
export const hasPlan = ({ target }: RestoreRequest): boolean => target.persistentVolumeClaim !== undefined;

/**
 * Makes a dry run and waits for its plan. The KmRestore stays, so that `applyRestore` can name it.
 * @throws {FleetError} when the plan cannot be made; the KmRestore is deleted then.
 */
export async function planRestore(
  cluster: Cluster,
  namespace: string,
  request: RestoreRequest,
  waiting?: Waiting<KmRestore>,
): Promise<PlannedRestore> {
  const created = await create(cluster, namespace, request, originOf(request), 'plan', { dryRun: true });
  try {
    const restore = await awaitRestore(cluster, created.metadata, waiting);
    const { phase, plan, message } = restore.status ?? {};
    if (phase === 'Planned' && plan) return { restore, plan };
    throw new FleetError('Refused', `There is no plan: ${message ?? `the dry run ended as ${phase}`}`);
  } catch (error) {
    await discardPlan(cluster, created.metadata);
    throw error;
  }
}

/** Deletes the KmRestore of a plan. One that is gone already is fine. */
export async function discardPlan({ resources }: Cluster, { namespace, name }: Place): Promise<void> {
  try {
    await resources.restores.delete(namespace, name);
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

/**
 * Starts the restore that was planned: of the archive that the plan pinned, and only if the plan still is the one with
 * this digest. Deletes the plan.
 * @throws {FleetError} when the plan does not exist, or has another digest.
 */
export async function applyRestore(cluster: Cluster, plan: Place, digest: string): Promise<KmRestore> {
  const planned = await restoreOf(cluster, plan);
  const { spec, status } = planned;
  const known = status?.plan?.digest;
  if (status?.phase !== 'Planned' || known === undefined) {
    throw new FleetError(
      'Refused',
      `KmRestore ${plan.name} in namespace ${plan.namespace} is not a plan: its phase is ${status?.phase ?? 'Pending'}. Plan the restore again.`,
    );
  }
  if (known !== digest) {
    throw new FleetError(
      'PlanChanged',
      `The plan ${plan.name} has the digest ${known}, not ${digest}. Nothing was changed. Look at the plan again.`,
    );
  }
  const pinnedSpec = { ...spec, source: pinned(planned) };
  const restore = await create(cluster, plan.namespace, pinnedSpec, originOf(spec), 'restore', {
    planDigest: digest,
  });
  await discardPlan(cluster, plan);
  return restore;
}

/** Starts a restore into a new claim or into scratch space, where nothing that exists is changed. */
export async function restoreElsewhere(
  cluster: Cluster,
  namespace: string,
  request: RestoreRequest,
): Promise<KmRestore> {
  if (hasPlan(request)) throw new TypeError('a restore in place needs a plan');
  return create(
    cluster,
    namespace,
    request,
    originOf(request),
    request.target.scratch ? 'drill' : 'restore',
    {},
  );
}

/** Waits until a restore has ended, whatever its phase. */
export function awaitRestore(
  cluster: Cluster,
  place: Place,
  waiting?: Waiting<KmRestore>,
): Promise<KmRestore> {
  return until(cluster, cluster.resources.restores, place, isRestoreFinished, waiting);
}

export function exitCodeOfRestore({ status }: KmRestore): ExitCode {
  return status?.phase === 'Succeeded' || status?.phase === 'Planned' ? ExitCode.ok : ExitCode.failure;
}

/** The archive that the plan was made for, even if the schedule has a newer one by now. */
function pinned({ spec, status }: KmRestore): KmRestoreSpec['source'] {
  const backupName = status?.resolved?.backupName;
  return backupName === undefined ? spec.source : { backupName };
}

/** Names the source in the name of the object. */
function originOf({ source }: Pick<KmRestoreSpec, 'source'>): string {
  return source.scheduleName ?? source.backupName ?? source.location?.name ?? 'archive';
}

function create(
  { resources }: Cluster,
  namespace: string,
  request: RestoreRequest,
  origin: string,
  purpose: string,
  extra: Given<Pick<KmRestoreSpec, 'dryRun' | 'planDigest'>>,
): Promise<KmRestore> {
  const { dryRun: _, planDigest: __, ...spec } = request as RestoreRequest & Partial<KmRestoreSpec>;
  return resources.restores.create(namespace, {
    apiVersion: API_VERSION,
    kind: 'KmRestore',
    metadata: { generateName: generatedName(origin, purpose) },
    spec: { ...spec, ...extra },
  });
}
