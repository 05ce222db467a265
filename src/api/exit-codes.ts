/** The exit codes of `km-backup`: what each means, and whether the Job tries again after it. */

export const ExitCode = {
  ok: 0,
  failure: 1,
  usage: 2,
  incomplete: 3,
  locked: 4,
  verification: 5,
  differs: 6,
  interrupted: 130,
  terminated: 143,
} as const;
type ExitName = keyof typeof ExitCode;
export type ExitCode = (typeof ExitCode)[ExitName];

interface ExitExplanation {
  readonly meaning: string;
  /** Phase of a KmBackup whose container ended with this code; absent if no run ends with it. */
  readonly phase?: string;
  /** Whether the Job starts another pod, up to `spec.backoffLimit`. */
  readonly retried: boolean;
}

export const EXIT_CODES: Readonly<Record<ExitName, ExitExplanation>> = {
  ok: { meaning: 'Success.', phase: 'Succeeded', retried: false },
  failure: {
    meaning: 'Failure. The message says what happened; earlier archives are unchanged.',
    phase: 'Failed',
    retried: true,
  },
  usage: {
    meaning: 'Wrong arguments or configuration. Nothing was started.',
    phase: 'Failed',
    retried: false,
  },
  incomplete: {
    meaning:
      'The archive is written and verified, but some files changed while read or could not be read. They are named.',
    phase: 'Incomplete',
    retried: false,
  },
  locked: { meaning: 'Another run holds the destination.', phase: 'Skipped', retried: false },
  verification: {
    meaning: 'An archive is corrupt or does not match its manifest.',
    phase: 'Failed',
    retried: true,
  },
  differs: { meaning: '`km-backup diff --exit-code` found differences.', retried: false },
  interrupted: { meaning: 'Ended by SIGINT (Ctrl-C), after cleaning up.', retried: true },
  terminated: { meaning: 'Ended by SIGTERM, after cleaning up.', phase: 'Failed', retried: true },
};

/** Exit codes of runs after which another attempt would end the same way. The Job then fails at once. */
export const NOT_RETRIED: readonly ExitCode[] = (Object.keys(ExitCode) as ExitName[])
  .filter((name) => name !== 'ok' && EXIT_CODES[name].phase !== undefined && !EXIT_CODES[name].retried)
  .map((name) => ExitCode[name]);
