/** Jobs that run as root with a few capabilities, only in namespaces that the installation lists. Pure. */
import type { V1SecurityContext } from '@kubernetes/client-node';

/** Pod Security `baseline` allows each of these. */
const CAPABILITIES = {
  /** Reads everyone's files. */
  backup: ['DAC_OVERRIDE'],
  /** Gives files their owners, then their modes, setuid bits, times, ACLs and capabilities. */
  restore: ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'SETFCAP'],
} as const;

export type Elevated = keyof typeof CAPABILITIES;

/** Why a namespace has no elevated Jobs; undefined where it may. */
export function elevatedProblem(
  namespace: string,
  { elevatedNamespaces = [] }: { readonly elevatedNamespaces?: readonly string[] },
): { readonly reason: 'ElevatedNotAllowed'; readonly message: string } | undefined {
  if (elevatedNamespaces.includes(namespace)) return undefined;
  return {
    reason: 'ElevatedNotAllowed',
    message: `spec.podTemplate.elevated is set, but this operator runs no elevated Jobs in namespace ${namespace}. Add the namespace to elevated.namespaces of the chart, or take the field out: files of other users are then not backed up, or lose their owners when they are restored.`,
  };
}

/** Of the container of every Job. Passes Pod Security `restricted` unless it is elevated, and `baseline` if it is. */
export function containerSecurity(elevated: Elevated | undefined): V1SecurityContext {
  return {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'], ...(elevated && { add: [...CAPABILITIES[elevated]] }) },
  };
}
