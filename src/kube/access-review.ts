/** Asks the API server who a token belongs to, and whether they may get a path that is not a resource. */
import type { KubeClient } from './client.ts';

interface TokenReview {
  readonly status?: {
    readonly authenticated?: boolean;
    readonly error?: string;
    readonly user?: {
      readonly username?: string;
      readonly uid?: string;
      readonly groups?: readonly string[];
      readonly extra?: Readonly<Record<string, readonly string[]>>;
    };
  };
}

interface SubjectAccessReview {
  readonly status?: { readonly allowed?: boolean };
}

/** Metrics are scraped every few seconds: a request that hangs must not pile up others. */
const ATTEMPTS = 1;

/**
 * Needs the rights to create `tokenreviews` and `subjectaccessreviews`.
 * @throws {KubeError} when the API server refuses or does not answer.
 */
export async function reviewAccess(
  client: KubeClient,
  token: string,
  path: string,
): Promise<'allowed' | 'unknown-token' | 'no-right'> {
  const { status: identity } = await client.request<TokenReview>({
    method: 'POST',
    path: '/apis/authentication.k8s.io/v1/tokenreviews',
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token } },
    attempts: ATTEMPTS,
  });
  const user = identity?.authenticated ? identity.user : undefined;
  if (!user) return 'unknown-token';
  const { status } = await client.request<SubjectAccessReview>({
    method: 'POST',
    path: '/apis/authorization.k8s.io/v1/subjectaccessreviews',
    body: {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SubjectAccessReview',
      spec: {
        user: user.username,
        uid: user.uid,
        groups: user.groups,
        extra: user.extra,
        nonResourceAttributes: { path, verb: 'get' },
      },
    },
    attempts: ATTEMPTS,
  });
  return status?.allowed ? 'allowed' : 'no-right';
}
