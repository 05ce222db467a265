export type CheckStatus = 'disabled' | 'pending' | 'ok' | 'error' | 'stopped' | 'unknown';

/** `checks.backup` of `/healthz`, with the playbook's field names. Times are ISO 8601 in UTC. */
export interface BackupCheck {
  status: CheckStatus;
  last_success?: string;
  /** Path or name of the archive of the last success. */
  archive?: string;
  /** Archives that retention removed after it. */
  deleted?: number;
  size_bytes?: number;
  last_failure?: string;
  error?: string;
}

export interface BackupState {
  /** False: switched off, or suspended. */
  enabled: boolean;
  /** The scheduler has ended. */
  stopped?: boolean;
  /** False where nobody knows yet: nothing was read. */
  known?: boolean;
  lastSuccess?: { atMs: number; archive: string; deleted: number; sizeBytes: number };
  /** The last run without a complete archive; an incomplete one counts. Skipped runs do not. */
  lastFailure?: { atMs: number; error: string };
}

function iso(atMs: number): string {
  return new Date(atMs).toISOString();
}

function statusOf(state: BackupState): CheckStatus {
  if (state.known === false) return 'unknown';
  if (!state.enabled) return 'disabled';
  if (state.stopped) return 'stopped';
  const { lastSuccess, lastFailure } = state;
  if (lastFailure && (!lastSuccess || lastFailure.atMs > lastSuccess.atMs)) return 'error';
  return lastSuccess ? 'ok' : 'pending';
}

/** The newer of the last success and the last failure decides; the other is told as well. */
export function backupCheck(state: BackupState): BackupCheck {
  const { lastSuccess, lastFailure } = state;
  const status = statusOf(state);
  if (status === 'unknown' || status === 'pending') return { status };
  return {
    status,
    ...(lastSuccess && {
      last_success: iso(lastSuccess.atMs),
      archive: lastSuccess.archive,
      deleted: lastSuccess.deleted,
      size_bytes: lastSuccess.sizeBytes,
    }),
    ...(lastFailure && status !== 'ok' && { last_failure: iso(lastFailure.atMs), error: lastFailure.error }),
  };
}
