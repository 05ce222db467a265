/** What the words of Kubernetes mean for a backup, and what to do: the scheduler, the kubelet, quotas and admission. Pure. */

export interface Cause {
  /** A sentence without a full stop; what Kubernetes said follows it. */
  readonly what: string;
  readonly todo: string;
}

interface Known extends Cause {
  /** Tested against `reason: message`. */
  readonly when: RegExp;
}

const CAUSES: readonly Known[] = [
  {
    when: /exceeded quota/i,
    what: 'A ResourceQuota of the namespace is used up',
    todo: 'Free or raise the quota (kubectl describe quota), or lower spec.podTemplate.resources.',
  },
  {
    when: /violates PodSecurity/i,
    what: 'The Pod Security level of the namespace does not admit the pod',
    todo: 'Look at what the message names; the Jobs of the operator need no more than the level restricted.',
  },
  {
    when: /ErrImage|ImagePull|InvalidImageName|ImageInspectError/,
    what: 'The node cannot pull the image of the Job',
    todo: "Check image.repository and image.tag of the chart, and that the nodes reach that registry; jobs.imagePullSecrets names the Secrets of the Job's namespace.",
  },
  {
    when: /volume node affinity conflict|NoVolumeZoneConflict/i,
    what: 'The volume can only be mounted on a node that the pod may not go to',
    todo: 'Check spec.podTemplate (node selector, affinity, tolerations) against the node of the volume: kubectl get pv -o yaml.',
  },
  {
    when: /Multi-Attach error|already exclusively attached/i,
    what: 'The volume is attached to another node, and its access mode allows one node only',
    todo: 'Stop the pod that uses it there, put source and archives on one node, or use a ReadWriteMany claim.',
  },
  {
    when: /persistentvolumeclaim "[^"]*" not found/i,
    what: 'A claim that the pod mounts does not exist',
    todo: 'Create the claim, or name another in the schedule.',
  },
  {
    when: /unbound immediate PersistentVolumeClaims|ProvisioningFailed/i,
    what: 'A claim has no volume',
    todo: 'Look at the claim (kubectl describe pvc): its StorageClass may be missing or unable to provision.',
  },
  {
    when: /Insufficient (cpu|memory|ephemeral-storage|pods)/i,
    what: 'No node has room for the pod',
    todo: 'Lower spec.podTemplate.resources.requests, or add room.',
  },
  {
    when: /untolerated taint|node\(s\) had taint/i,
    what: 'Every node that fits has a taint that the pod does not tolerate',
    todo: 'Add spec.podTemplate.tolerations.',
  },
  {
    when: /didn't match Pod's node affinity|node selector/i,
    what: 'No node has the labels that the pod asks for',
    todo: 'Check spec.podTemplate.nodeSelector and affinity.',
  },
  {
    when: /FailedMount|FailedAttachVolume|MountVolume|AttachVolume/,
    what: 'A volume cannot be mounted',
    todo: 'Look at the volume and at the CSI driver on that node.',
  },
  {
    when: /CreateContainerConfigError|configmap "[^"]*" not found|secret "[^"]*" not found/i,
    what: 'Something that the pod needs does not exist: a ConfigMap, a Secret or a key',
    todo: 'Create what the message names.',
  },
  {
    when: /Evicted|DiskPressure|MemoryPressure|PreemptionByScheduler|DeletionByTaintManager|NodeLost/,
    what: 'The pod was removed from its node',
    todo: 'Look at the node. Raise spec.backoffLimit, or set spec.podTemplate.priorityClassName.',
  },
  {
    when: /^Unschedulable/,
    what: 'No node can take the pod',
    todo: 'Check spec.podTemplate and where the claims are.',
  },
];

export function kubernetesCause(reason: string | undefined, message: string | undefined): Cause | undefined {
  const said = `${reason ?? ''}: ${message ?? ''}`;
  return CAUSES.find(({ when }) => when.test(said));
}
