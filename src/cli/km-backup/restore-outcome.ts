import path from 'node:path';
import type { RunReason } from '../../api/reasons.ts';
import type { RestoreResult } from '../../api/restore-result.ts';
import { ArchiveError, ContentCheckError, type PlanReport, type RestoreReport } from '../../archive/index.ts';
import { formatBytes } from '../../log/units.ts';
import { isSystemError } from '../../posix/system-error.ts';

/*
 * What a restore came to, in words for people and as the result for whoever started it.
 */

/** The parts of a result that depend on what was done. */
export type Outcome = Pick<
  RestoreResult,
  'outcome' | 'reason' | 'message' | 'found' | 'plan' | 'restored' | 'checks' | 'warnings'
>;

const noWarnings = { count: 0, samples: [] };

export function succeeded(reason: RunReason, message: string): Outcome {
  return { outcome: 'Succeeded', reason, message, warnings: noWarnings };
}

export function outcomeOf(report: RestoreReport): Outcome {
  const message = sentence(report);
  const staged = 'entries' in report ? report : report.staged;
  const { count, samples } = staged?.warnings ?? noWarnings;
  const { oldState, target } = report;
  return {
    ...succeeded(reasonOf(report), message),
    ...(staged && {
      restored: {
        entries: staged.entries,
        files: staged.files,
        bytes: staged.bytes,
        reusedBytes: staged.reusedBytes,
        ...(oldState !== undefined && { oldState: path.relative(target, oldState) }),
      },
    }),
    warnings: { count, samples: [...samples] },
    ...('plan' in report && report.plan && { plan: copyOf(report.plan) }),
    ...(staged?.checks && { checks: staged.checks.map((check) => copyOf(check)) }),
  };
}

function reasonOf({ outcome }: RestoreReport): RunReason {
  switch (outcome) {
    case 'would-restore':
      return 'RestoreChecked';
    case 'staged':
      return 'TreeStaged';
    case 'restored':
    case 'completed':
      return 'TreeRestored';
    case 'already-restored':
      return 'AlreadyRestored';
  }
}

export function planSentence({ target, plan }: PlanReport): string {
  const { added, changed, removed, kept } = plan;
  return `${target}: a restore would add ${added}, change ${changed}, remove ${removed} and keep ${kept} entries. Nothing was changed.`;
}

export function planLines(report: PlanReport): string[] {
  const { samples, bytesToWrite, spaceNeededBytes, spaceFreeBytes, digest } = report.plan;
  const free = spaceFreeBytes === undefined ? '' : `, ${formatBytes(spaceFreeBytes)} free`;
  return [
    planSentence(report),
    ...samples,
    `To write: ${formatBytes(bytesToWrite)}. Space needed: ${formatBytes(spaceNeededBytes)}${free}.`,
    `Digest: ${digest}`,
  ];
}

export function outcomeOfError(error: unknown): Outcome {
  const message = error instanceof Error ? error.message : String(error);
  return {
    outcome: 'Failed',
    reason: failureReason(error),
    message,
    warnings: noWarnings,
    ...(error instanceof ContentCheckError && { checks: error.checks.map(copyOf) }),
  };
}

function copyOf<T extends { readonly samples: readonly string[] }>(of: T): T & { samples: string[] } {
  return { ...of, samples: [...of.samples] };
}

function failureReason(error: unknown): RunReason {
  if (error instanceof ArchiveError) return error.reason;
  return isSystemError(error) ? 'RestoreFailed' : 'Internal';
}

export function sentence(report: RestoreReport): string {
  const old =
    report.oldState === undefined
      ? ''
      : ` The old state is kept in ${report.oldState}; once all is well: km-backup restore --commit ${report.target} (or --rollback).`;
  switch (report.outcome) {
    case 'would-restore':
      return `${report.target}: can be restored: ${report.entries} entries, ${formatBytes(report.bytes)}, checked by ${report.against}. Nothing was changed.`;
    case 'staged':
      return `${report.target}: the restored tree is staged and complete; the target is unchanged. The same command without --stage-only swaps it in, --discard ${report.target} removes it.`;
    case 'restored': {
      const kept = report.archivesKept > 0 ? ` ${report.archivesKept} archive files in it were kept.` : '';
      return `Restored ${report.target}: ${report.entries} entries, ${formatBytes(report.bytes)}, checked by ${report.against}.${kept}${old}`;
    }
    case 'completed':
      return `Restored ${report.target}: completed what an earlier run began.${old}`;
    case 'already-restored':
      return `${report.target}: this restore was already done.${old}`;
  }
}
