import type { Explanation } from './explanation.ts';

interface LocationExplanation extends Explanation {
  /** Status of the condition `Available`. */
  readonly status: 'True' | 'False' | 'Unknown';
}

/** Why a KmBackupLocation is available or not, on top of what `km-backup` reports. */
export const LOCATION_REASONS = {
  CheckPending: { status: 'Unknown', meaning: 'The first check has not ended.' },
  DeleteRefused: {
    status: 'True',
    meaning: 'Copies can be made and read, but not deleted: a lock, or a right that is missing.',
    kubectl:
      'If the cluster should apply retention to copies, grant `s3:DeleteObject`. Otherwise prune from elsewhere.',
  },
  NoCheckReported: {
    status: 'False',
    meaning: 'The Job that checks the location ended without a result.',
    kubectl: "Look at the pod's log.",
  },
} as const satisfies Record<string, LocationExplanation>;

export type LocationReason = keyof typeof LOCATION_REASONS;

interface CopyExplanation extends Explanation {
  /** Phase of the copy in `status.copies`. */
  readonly phase: 'Pending' | 'Copying' | 'Failed';
}

/** Why a copy is what it is, on top of what `km-backup` reports. */
export const COPY_REASONS = {
  NothingToCopy: { phase: 'Pending', meaning: 'No run has made a complete archive yet.' },
  LocationNotChecked: { phase: 'Pending', meaning: 'The first check of the location has not ended.' },
  WaitingForCopy: {
    phase: 'Pending',
    meaning: 'The copy to another location goes first: one at a time reads the archives of a schedule.',
  },
  CopyStarting: { phase: 'Copying', meaning: 'The Job of the copy was created.' },
  CopyRunning: { phase: 'Copying', meaning: 'The Job of the copy runs.' },
  NoSuchLocation: {
    phase: 'Failed',
    meaning: 'There is no KmBackupLocation of that name in the namespace.',
    kubectl: 'Create it, or correct `spec.copies`.',
  },
  NoCopyReported: {
    phase: 'Failed',
    meaning: 'The Job of the copy ended without a result.',
    kubectl: "Look at the pod's log. The copy is tried again.",
  },
} as const satisfies Record<string, CopyExplanation>;

export type CopyReason = keyof typeof COPY_REASONS;
