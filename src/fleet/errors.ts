import { ExitCode } from '../api/exit-codes.ts';
import { KubeError } from '../kube/errors.ts';

/** Why an operation did not do what was asked. */
const EXIT = {
  Usage: ExitCode.usage,
  NotFound: ExitCode.failure,
  Refused: ExitCode.failure,
  PlanChanged: ExitCode.failure,
  Denied: ExitCode.failure,
  Failed: ExitCode.failure,
  Interrupted: ExitCode.interrupted,
} as const satisfies Record<string, ExitCode>;

export type FleetReason = keyof typeof EXIT;

/** `message` says what, where, why and what to do. */
export class FleetError extends Error {
  override readonly name = 'FleetError';
  readonly reason: FleetReason;

  constructor(reason: FleetReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }

  get exitCode(): ExitCode {
    return EXIT[this.reason];
  }
}

/** The API server does not know a resource of ours: its CRD is not installed. */
const isUnknownResource = ({ status, message }: KubeError) =>
  status === 404 && message.includes('could not find the requested resource');

/** What the API server said, and what to do about it, without the request's path. */
export function kubeAdvice(error: KubeError): string {
  const said = error.message.replace(/^(?:GET|POST|PUT|PATCH|DELETE) \S+: /, '').replace(/\.$/, '');
  if (isUnknownResource(error))
    return 'This cluster does not have the resources of km-backup-operator. Install its CRDs (docs/install.md), or choose another cluster: --context.';
  if (error.status === 401)
    return `The API server does not accept your credentials: ${said}. Log in again, or choose another context.`;
  if (error.status === 403)
    return `You may not do this: ${said}. Ask for that right in the namespace; the roles view (to look) and edit (to act) of Kubernetes have it.`;
  return `${said}.`;
}

/** The object, or undefined if there is none. */
export async function unlessMissing<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof KubeError && error.status === 404 && !isUnknownResource(error)) return undefined;
    throw error;
  }
}

/** What was asked for, or `denied` if the caller may not see it. */
export async function unlessDenied<T>(asked: Promise<T>): Promise<T | 'denied'> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof KubeError && error.status === 403) return 'denied';
    throw error;
  }
}
