export type CheckStatus = 'disabled' | 'pending' | 'ok' | 'error' | 'stopped' | 'unknown';

/** `checks.backup` of `/healthz`, with the field names of the playbook. Times are ISO 8601 in UTC. */
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
  /** The archive that was last restored over the source, until the next success. `last_success` is its time then. */
  restored_archive?: string;
  /** When that archive was made. */
  restored_archive_timestamp?: string;
  restored_at?: string;
}

/** `checks.clock` of `/healthz`, after the clock turned out to have been ahead. */
export interface ClockCheck {
  status: 'corrected';
  corrected_at: string;
  was_ahead_seconds: number;
}

/** `checks.copy` of `/healthz`, if copies are configured. It does not affect the overall status. */
export interface CopyCheck {
  status: 'pending' | 'copying' | 'ok' | 'error';
  location: string;
  last_success?: string;
  /** Name of the archive of the last success. */
  archive?: string;
  last_failure?: string;
  error?: string;
}

export interface BackupState {
  /** False: switched off or suspended. */
  enabled: boolean;
  /** The scheduler has ended. */
  stopped?: boolean;
  /** False until the state was read. */
  known?: boolean;
  /** Whether the last run that was not skipped ended without a complete archive. Default: derived from the times below. */
  lastRunFailed?: boolean;
  lastSuccess?: { atMs: number; archive: string; deleted: number; sizeBytes: number };
  /** The last run without a complete archive. Incomplete runs count, skipped ones do not. */
  lastFailure?: { atMs: number; error: string };
  /** The last restore over the source. */
  restored?: Restored | undefined;
}

export interface Restored {
  atMs: number;
  archive: string;
  /** When the archive was made; undefined if unknown. */
  archiveAtMs: number | undefined;
  sizeBytes?: number | undefined;
}

function iso(atMs: number): string {
  return new Date(atMs).toISOString();
}

function statusOf(state: BackupState): CheckStatus {
  if (state.known === false) return 'unknown';
  if (!state.enabled) return 'disabled';
  if (state.stopped) return 'stopped';
  const { lastSuccess, lastFailure } = state;
  const failed = state.lastRunFailed ?? (lastFailure?.atMs ?? 0) > (lastSuccess?.atMs ?? 0);
  if (lastFailure && (failed || !lastSuccess)) return 'error';
  return lastSuccess ? 'ok' : 'pending';
}

/** The restore, if no backup has succeeded since: the data is that of its archive, not that of the last success. */
function liveRestore({ restored, lastSuccess }: BackupState): Restored | undefined {
  return restored && restored.atMs >= (lastSuccess?.atMs ?? 0) ? restored : undefined;
}

/** What the data corresponds to: the recovered archive after a restore, else the archive of the last success. */
function lastGood(state: BackupState): Partial<BackupCheck> {
  const { lastSuccess } = state;
  const restored = liveRestore(state);
  const ofRestore = restored && {
    restored_archive: restored.archive,
    ...(restored.archiveAtMs !== undefined && { restored_archive_timestamp: iso(restored.archiveAtMs) }),
    restored_at: iso(restored.atMs),
  };
  if (restored?.archiveAtMs !== undefined) {
    return {
      last_success: iso(restored.archiveAtMs),
      archive: restored.archive,
      deleted: 0,
      ...(restored.sizeBytes !== undefined && { size_bytes: restored.sizeBytes }),
      ...ofRestore,
    };
  }
  return {
    ...(lastSuccess && {
      last_success: iso(lastSuccess.atMs),
      archive: lastSuccess.archive,
      deleted: lastSuccess.deleted,
      size_bytes: lastSuccess.sizeBytes,
    }),
    ...ofRestore,
  };
}

/**
 * The status follows the last run. The last success is shown with every status except `unknown`; after a restore, the
 * recovered archive in its place.
 */
export function backupCheck(state: BackupState): BackupCheck {
  const { lastFailure } = state;
  const status = statusOf(state);
  if (status === 'unknown') return { status };
  return {
    status,
    ...lastGood(state),
    ...(lastFailure && status !== 'ok' && { last_failure: iso(lastFailure.atMs), error: lastFailure.error }),
  };
}
