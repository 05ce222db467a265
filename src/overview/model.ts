/**
 * What a page, a plugin and an assistant show of all backups. Plain data: `/status.json` is this as JSON. Times are
 * RFC 3339 in UTC; names and messages come from outside and are not escaped.
 */
import type { ConditionReason } from '../api/reasons.ts';

export type Severity = 'critical' | 'warning' | 'idle' | 'ok';

/** States of a schedule, the worst first. */
export const HEALTHS = {
  NotReady: { severity: 'critical', label: 'Not ready' },
  Failed: { severity: 'critical', label: 'Failed' },
  Suspicious: { severity: 'critical', label: 'Suspicious' },
  Overdue: { severity: 'critical', label: 'Overdue' },
  DrillFailed: { severity: 'critical', label: 'Drill failed' },
  Incomplete: { severity: 'warning', label: 'Incomplete' },
  CopyLate: { severity: 'warning', label: 'Copy late' },
  DrillLate: { severity: 'warning', label: 'Drill late' },
  Suspended: { severity: 'idle', label: 'Suspended' },
  Pending: { severity: 'idle', label: 'No run yet' },
  OK: { severity: 'ok', label: 'OK' },
} as const satisfies Record<string, { severity: Severity; label: string }>;

export type Health = keyof typeof HEALTHS;
export const HEALTH_ORDER = Object.keys(HEALTHS) as readonly Health[];

/** Sorts by health, the worst first. */
export const worstFirst = (a: { health: Health }, b: { health: Health }): number =>
  HEALTH_ORDER.indexOf(a.health) - HEALTH_ORDER.indexOf(b.health);

/** Something to know about a schedule, and what to do about it. */
export interface Finding {
  health: Health;
  /** As in docs/troubleshooting.md, or from Kubernetes. */
  reason: ConditionReason;
  message: string;
  todo?: string;
  /** Since when, or when it was last seen. */
  time?: string;
  /** The KmBackup or KmRestore that it is about. */
  object?: { kind: 'KmBackup' | 'KmRestore'; name: string };
}

export interface ArchiveOverview {
  name: string;
  /** When it was made, by its name if that says so. */
  time?: string;
  sizeBytes?: number;
  sourceBytes?: number;
  reusedBytes?: number;
}

export interface RunOverview {
  name: string;
  /** A `BackupPhase`; what a later version calls one is passed on. */
  phase: string;
  /** The scheduled time, else when the run was created. For an archive that was found, when it was made. */
  time: string;
  /** Created by hand. */
  byHand?: boolean;
  startTime?: string;
  completionTime?: string;
  durationSeconds?: number;
  reason?: string;
  message?: string;
  todo?: string;
  /** Files that it could not capture faithfully. */
  warnings?: number;
  archive?: ArchiveOverview;
}

/** The archives of a schedule in one location. */
export interface CopyOverview {
  /** Name of the KmBackupLocation, or an address outside of a cluster. */
  location: string;
  /** Whether the schedule still asks for it. */
  wanted: boolean;
  /** Pending, Copying, Copied or Failed. */
  phase: string;
  reason?: string;
  message?: string;
  todo?: string;
  /** The newest archive that the location has. */
  archive?: string;
  lastSuccess?: string;
  lastFailure?: string;
  nextAttempt?: string;
  /** Attempts that failed since the last success. */
  failures?: number;
  copies?: { count: number; bytes: number };
}

export interface LocationOverview {
  namespace: string;
  name: string;
  url?: string;
  /** Absent before the first check. */
  available?: boolean;
  reason?: string;
  message?: string;
  todo?: string;
  lastCheck?: string;
  lastCopy?: string;
  copies?: { count: number; bytes: number };
}

/** Restores into scratch space, which prove that archives can be restored. */
export interface DrillOverview {
  /** When drills run, in words; absent if they are made by hand only. */
  schedule?: string;
  /** The last one that ended. */
  last?: {
    name: string;
    phase: string;
    time: string;
    reason?: string;
    message?: string;
    archive?: string;
    archiveAgeSeconds?: number;
    recoverySeconds?: number;
  };
  lastSuccess?: string;
  next?: string;
  /** By when one should have ended; absent while none is due or scheduled. */
  due?: string;
  /** KmRestore of the drill that runs. */
  running?: string;
}

export interface ScheduleOverview {
  /** Absent outside of a cluster. */
  namespace?: string;
  name: string;
  health: Health;
  /** Everything that is to know, the worst first. Empty when all is well. */
  findings: Finding[];
  /** When runs start, in words. */
  schedule: string;
  suspended: boolean;
  source: { claimName?: string; path?: string };
  destination: { claimName?: string; path?: string };
  /** The last run that ended and was not skipped. */
  lastRun?: RunOverview;
  lastSuccess?: {
    time: string;
    name?: string;
    archive?: string;
    sizeBytes?: number;
    durationSeconds?: number;
  };
  nextTime?: string;
  /** By when a complete archive is due; absent while suspended. */
  successDue?: string;
  /** At the destination, as the last run saw them. */
  archives?: { count: number; bytes: number };
  totals: {
    succeeded: number;
    incomplete: number;
    failed: number;
    skipped: number;
    missed: number;
    pruned: number;
  };
  lastMissedTime?: string;
  /** Runs that have not ended, the oldest first. */
  running: RunOverview[];
  /** Runs that ended and of which a record is kept, the oldest first. Archives that were found are among them. */
  runs: RunOverview[];
  /** Older ones that `runs` leaves out. */
  runsOmitted?: number;
  /** Absent if the schedule asks for no copies and has none. */
  copies?: CopyOverview[];
  drill?: DrillOverview;
}

/** A restore that is not a drill. */
export interface RestoreOverview {
  namespace: string;
  name: string;
  phase: string;
  finished: boolean;
  reason?: string;
  message?: string;
  todo?: string;
  /** The schedule whose archive it restores, if known. */
  schedule?: string;
  /** Claim that it writes to. */
  target?: string;
  time: string;
  completionTime?: string;
  archive?: string;
  recoverySeconds?: number;
  /** The state before it is kept; until then, if that is known. */
  oldState?: { keptUntil?: string };
}

export interface Gap {
  /** critical: no fresh archive. warning: it would not survive the volume. idle: worth doing. */
  severity: Severity;
  reason: ConditionReason;
  message: string;
  todo?: string;
}

export interface ClaimOverview {
  namespace: string;
  name: string;
  /** Schedules that back it up. */
  schedules: string[];
  /** Schedules of other claims whose archives it holds. */
  holdsArchivesOf: string[];
  lastSuccess?: string;
  lastDrill?: string;
  lastCopy?: string;
  /** The worst first; empty: protected, as far as can be known. */
  gaps: Gap[];
}

export interface Coverage {
  claims: ClaimOverview[];
  /** Claims without a gap, and those that only hold archives. */
  covered: number;
  /** Claims without a critical gap. */
  protected: number;
  /** How many claims have each gap. */
  gaps: Record<string, number>;
}

export interface Overview {
  version: 1;
  time: string;
  /** `OK` without schedules. */
  health: Health;
  counts: Partial<Record<Health, number>>;
  totals: { schedules: number; archives: number; bytes: number; running: number };
  /** The worst first. */
  schedules: ScheduleOverview[];
  /** The newest first; those that have not ended come before. */
  restores: RestoreOverview[];
  /** Absent where the locations are not known. */
  locations?: LocationOverview[];
  /** Absent where the claims are not known. */
  coverage?: Coverage;
}
