/** What the pods of all Jobs have in common. Pure. */
import type { V1Affinity, V1PodSpec } from '@kubernetes/client-node';
import type { KmBackupScheduleSpec } from '../api/backup-schedule.ts';
import type { Placement } from './backup/placement.ts';

/** A pod that runs once, without an API token, where the template and its claims allow it. */
export function podBase(
  settings: { readonly imagePullSecrets?: readonly string[] },
  template: NonNullable<KmBackupScheduleSpec['podTemplate']>,
  placement: Placement | undefined,
): Omit<V1PodSpec, 'containers'> {
  const affinity = affinityOn(template.affinity as V1Affinity | undefined, placement?.nodeName);
  const tolerations = [...(template.tolerations ?? []), ...(placement?.tolerations ?? [])];
  return {
    restartPolicy: 'Never',
    ...(settings.imagePullSecrets?.length && {
      imagePullSecrets: settings.imagePullSecrets.map((name) => ({ name })),
    }),
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    ...(template.nodeSelector && { nodeSelector: template.nodeSelector }),
    ...(affinity && { affinity }),
    ...(tolerations.length > 0 && { tolerations: tolerations as NonNullable<V1PodSpec['tolerations']> }),
    ...(template.priorityClassName && { priorityClassName: template.priorityClassName }),
  };
}

/** The template's affinity, with the required node added to every alternative that it allows. */
function affinityOn(affinity: V1Affinity | undefined, node: string | undefined): V1Affinity | undefined {
  if (node === undefined) return affinity;
  const onNode = { key: 'metadata.name', operator: 'In', values: [node] };
  const required = affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution
    ?.nodeSelectorTerms ?? [{}];
  return {
    ...affinity,
    nodeAffinity: {
      ...affinity?.nodeAffinity,
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: required.map((term) => ({
          ...term,
          matchFields: [...(term.matchFields ?? []), onNode],
        })),
      },
    },
  };
}
