/** The exit codes of `km-backup`: what each means, and which Jobs try again after it. */

export const ExitCode = {
  ok: 0,
  failure: 1,
  usage: 2,
  incomplete: 3,
  locked: 4,
  verification: 5,
  differs: 6,
  final: 7,
  interrupted: 130,
  terminated: 143,
} as const;
type ExitName = keyof typeof ExitCode;
export type ExitCode = (typeof ExitCode)[ExitName];

/** A Job that writes an archive, or one that restores: the same code can mean hope in one and none in the other. */
export type JobKind = 'backup' | 'restore';

interface ExitExplanation {
  readonly meaning: string;
  /** Phase of a KmBackup whose container ended with this code; absent if no run ends with it. */
  readonly phase?: string;
  /** Whether the Job starts another pod, up to its `backoffLimit`. Absent: no such Job ends with this code. */
  readonly retried: Readonly<Partial<Record<JobKind, boolean>>>;
}

export const EXIT_CODES: Readonly<Record<ExitName, ExitExplanation>> = {
  ok: { meaning: 'Success.', phase: 'Succeeded', retried: {} },
  failure: {
    meaning: 'Failure. The message says what happened; earlier archives are unchanged.',
    phase: 'Failed',
    retried: { backup: true, restore: true },
  },
  usage: {
    meaning: 'Wrong arguments or configuration. Nothing was started.',
    phase: 'Failed',
    retried: { backup: false, restore: false },
  },
  incomplete: {
    meaning:
      'The archive is written and verified, but some files changed while read or could not be read. They are named.',
    phase: 'Incomplete',
    retried: { backup: false },
  },
  locked: {
    meaning: 'Another run holds the destination or the target.',
    phase: 'Skipped',
    retried: { backup: false, restore: true },
  },
  verification: {
    meaning: 'An archive is corrupt or does not match its manifest.',
    phase: 'Failed',
    retried: { backup: true, restore: false },
  },
  differs: { meaning: '`km-backup diff --exit-code` found differences.', retried: {} },
  final: {
    meaning:
      'Failure that another try would only repeat: no space, a plan or an archive that is no longer the same, a restore that is refused. The message says what to change first.',
    phase: 'Failed',
    retried: { backup: false, restore: false },
  },
  interrupted: {
    meaning: 'Ended by SIGINT (Ctrl-C), after cleaning up.',
    retried: { backup: true, restore: true },
  },
  terminated: {
    meaning: 'Ended by SIGTERM, after cleaning up.',
    phase: 'Failed',
    retried: { backup: true, restore: true },
  },
};

/** Exit codes after which another pod would end the same way. The Job then fails at once. */
export function notRetried(kind: JobKind): ExitCode[] {
  return (Object.keys(ExitCode) as ExitName[])
    .filter((name) => EXIT_CODES[name].retried[kind] === false)
    .map((name) => ExitCode[name]);
}
