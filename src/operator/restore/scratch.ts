/** What only a restore into scratch space has: a script that runs on the restored files, and nothing to keep. Pure. */
import type { V1Container, V1PodSpec, V1Volume } from '@kubernetes/client-node';
import type { KmRestore } from '../../api/restore.ts';
import { CONTAINER } from '../naming.ts';
import type { Step } from '../plan.ts';
import type { Pod } from '../workloads.ts';
import type { ObservedRestore, RestoreJobKind } from './observed.ts';

/** The container in which the script runs, after that of the restore. */
export const SCRIPT_CONTAINER = 'script';
const SCRIPT_MOUNT = '/script';

/** Why the script must not run; undefined if there is none, or it may. */
export function scriptRefusal(
  { spec }: KmRestore,
  { allowScripts, stepImages }: { allowScripts: boolean; stepImages: readonly string[] },
): string | undefined {
  const { script } = spec.target.scratch ?? {};
  if (!script) return undefined;
  if (!allowScripts) {
    return 'spec.target.scratch.script is set, but this operator does not run scripts. Install it with jobs.allowScripts=true, or remove the script (of a drill: spec.drill.scratch.script).';
  }
  if (script.image === undefined || stepImages.includes(script.image)) return undefined;
  return `spec.target.scratch.script names image ${script.image}, which this operator does not allow. Install it with that image in restore.stepImages, or leave the image out.`;
}

type PodParts = Pick<V1PodSpec, 'initContainers' | 'containers' | 'volumes'>;

/** The pod that restores, and then runs the script where the tree was restored: the volume ends with the pod. */
export function withScript(
  { spec }: KmRestore,
  kind: RestoreJobKind,
  pod: PodParts,
  target: { readonly mount: NonNullable<V1Container['volumeMounts']>[number]; readonly base: V1Container },
): PodParts {
  const { script } = spec.target.scratch ?? {};
  if (!script || kind !== 'stage') return pod;
  const { name, key } = script.configMapKeyRef;
  const volume: V1Volume = {
    name: 'script',
    configMap: { name, defaultMode: 0o555, items: [{ key, path: key }] },
  };
  return {
    initContainers: pod.containers,
    containers: [
      {
        ...target.base,
        name: SCRIPT_CONTAINER,
        ...(script.image !== undefined && { image: script.image }),
        command: [`${SCRIPT_MOUNT}/${key}`],
        workingDir: target.mount.mountPath,
        volumeMounts: [{ name: 'script', mountPath: SCRIPT_MOUNT, readOnly: true }, target.mount],
      },
    ],
    volumes: [...(pod.volumes ?? []), volume],
  };
}

const stateIn = (statuses: NonNullable<Pod['status']>['containerStatuses'], wanted: string) =>
  statuses?.find(({ name }) => name === wanted)?.state;

/** The container of the restore, wherever it stands in the pod. */
export const restoreContainer = ({ status }: Pod) =>
  stateIn(status?.containerStatuses, CONTAINER) ?? stateIn(status?.initContainerStatuses, CONTAINER);

/** What became of the script; undefined in a pod without one. */
export function scriptOf({ status }: Pod): 'succeeded' | { readonly failed: string } | 'pending' | undefined {
  if (!stateIn(status?.initContainerStatuses, CONTAINER)) return undefined;
  const ended = stateIn(status?.containerStatuses, SCRIPT_CONTAINER)?.terminated;
  if (!ended) return 'pending';
  if (ended.exitCode === 0) return 'succeeded';
  const said = ended.message?.trim().slice(-1000);
  return { failed: `The script exited with ${ended.exitCode}${said ? `: ${said}` : ' and said nothing.'}` };
}

/** Jobs whose pods hold a scratch volume, which is gone with them. */
export function scratchJobs({ restore, jobs }: ObservedRestore): Step[] {
  if (!restore.spec.target.scratch) return [];
  return (['find', 'plan', 'stage'] as const).flatMap((kind) => {
    const job = jobs.get(kind) ?? { state: 'none' };
    return job.state === 'none' ? [] : [{ kind: 'deleteJob' as const, target: job.target }];
  });
}
