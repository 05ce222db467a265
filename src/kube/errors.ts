/** The `metav1.Status` of a failed request. */
export interface KubeErrorDetails {
  /** HTTP status; 0 when no answer came. */
  status: number;
  /** Machine-readable, such as `AlreadyExists`, `NotFound`, `Conflict`, `Forbidden`, `Expired`. */
  reason: string;
  message: string;
  /** How long the server asked to wait, in milliseconds. */
  retryAfterMs?: number;
}

/** The API server refused a request, or did not answer it. */
export class KubeError extends Error {
  override name = 'KubeError';
  readonly status: number;
  readonly reason: string;
  readonly retryAfterMs: number | undefined;

  constructor(details: KubeErrorDetails, options?: ErrorOptions) {
    super(details.message, options);
    this.status = details.status;
    this.reason = details.reason;
    this.retryAfterMs = details.retryAfterMs;
  }
}

/** The kubeconfig or the pod does not say how to reach the API server. */
export class KubeConfigError extends Error {
  override name = 'KubeConfigError';
}

const hasReason =
  (reason: string) =>
  (error: unknown): boolean =>
    error instanceof KubeError && error.reason === reason;

export const isNotFound = hasReason('NotFound');
export const isAlreadyExists = hasReason('AlreadyExists');
export const isConflict = hasReason('Conflict');
/** The resource version is too old to watch from: list again. */
export const isExpired = (error: unknown): boolean => error instanceof KubeError && error.status === 410;
