import type { Explanation } from './explanation.ts';

/** What is wrong with a schedule beyond its conditions, or with the protection of a claim. Derived, never stored. */
export const HEALTH_REASONS = {
  NotObserved: {
    meaning: 'The operator has recorded nothing about this schedule.',
    kubectl: 'Check that the operator runs, and that it watches this namespace (`namespaces` of the chart).',
  },
  Overdue: {
    meaning:
      'A complete archive was due: one failed or missed run later than scheduled, at most a day, plus the time of a run and 15 minutes.',
    kubectl:
      'Look at the conditions and Events: `kubectl describe kmbs NAME`. If nothing is recorded, check the operator.',
    environment: 'Look at `/healthz` and at the log of `km-backup serve`.',
  },
  NeverSucceeded: {
    meaning: 'A first complete archive was due, and there is none.',
    kubectl:
      'Look at the conditions and Events: `kubectl describe kmbs NAME`. If nothing is recorded, check the operator.',
    environment: 'Look at `/healthz` and at the log of `km-backup serve`.',
  },
  CopyLate: {
    meaning: 'A location lacks the newest complete archive, a day after it was finished.',
    kubectl: 'Look at `status.copies` of the schedule, and at the location: `kubectl get kmbl`.',
    environment: 'Look at `/healthz` and at the log of `km-backup serve`.',
  },
  DrillLate: {
    meaning: 'A drill should have ended by now: it has not begun, or takes longer than the last ones.',
    kubectl:
      'Look at the KmRestore of the drill: `kubectl get kmr`. If there is none, look at the Events of the schedule.',
  },
  NoSchedule: {
    meaning: 'No schedule backs up this claim.',
    kubectl: 'Create a KmBackupSchedule, or leave it if the data can be made again.',
  },
  AllSuspended: {
    meaning: 'Every schedule of this claim is suspended.',
    kubectl: 'Resume one of them (`spec.suspend: false`).',
  },
  BackupStale: {
    meaning: 'Every schedule of this claim is overdue, or has never made a complete archive.',
    kubectl: 'Look at the schedules first.',
  },
  ArchivesOnSameClaim: {
    meaning: 'All archives lie on the claim that they protect: losing the volume loses both.',
    kubectl:
      'Name another claim in `spec.destination.persistentVolumeClaim`, or a location in `spec.copies`.',
  },
  NoCopy: {
    meaning: 'No archive of this claim was ever copied off the cluster.',
    kubectl: 'Name a KmBackupLocation in `spec.copies` of the schedule.',
  },
  NeverDrilled: {
    meaning: 'No archive of this claim was ever restored as a test.',
    kubectl: 'Set `spec.drill` of the schedule: it restores archives into scratch space.',
  },
} as const satisfies Record<string, Explanation>;

export type HealthReason = keyof typeof HEALTH_REASONS;
