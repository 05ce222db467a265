import { accessSync, constants, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { CheckResult, CopyResult } from '../../api/location-result.ts';
import type { RestoreResult } from '../../api/restore-result.ts';
import type { RunResult } from '../../api/run-result.ts';
import { ArchiveError, writeError } from '../../archive/index.ts';
import { printable } from '../../log/printable.ts';

/** The kubelet truncates a termination message to this many bytes. */
export const RESULT_LIMIT = 4096;

const MESSAGE_LIMIT = 1024;
const LIST_LIMIT = 120;
/** Never cut further: what is not named counts as approved. */
const SUSPICIOUS_LIMIT = 20;

/** The result as one line of JSON within the limit. Lists of samples and names lose their last items if need be; counts stay. */
export function fitResult(result: RunResult): string {
  const { classes } = result.present;
  const fitted = {
    ...result,
    message: printable(result.message, MESSAGE_LIMIT),
    warnings: bounded(result.warnings),
    pruned: { ...result.pruned, names: result.pruned.names.slice(0, LIST_LIMIT) },
    present: {
      ...result.present,
      names: result.present.names.slice(0, LIST_LIMIT),
      ...(classes !== undefined && { classes: classes.slice(0, LIST_LIMIT) }),
      ...(result.present.suspicious && { suspicious: result.present.suspicious.slice(0, SUSPICIOUS_LIMIT) }),
    },
    ...(result.suspicious && {
      suspicious: { ...result.suspicious, message: printable(result.suspicious.message, 512) },
    }),
    ...(result.notes && { notes: result.notes.map((note) => shorten(note, 512)) }),
  };
  return toLine(fitted, [
    fitted.present.names,
    fitted.pruned.names,
    fitted.warnings.samples,
    fitted.notes ?? [],
  ]);
}

/** Like `fitResult`, for a restore. */
export function fitRestoreResult(result: RestoreResult): string {
  const { plan, checks } = result;
  const fitted = {
    ...result,
    message: printable(result.message, MESSAGE_LIMIT),
    warnings: bounded(result.warnings),
    ...(plan && { plan: bounded(plan) }),
    ...(checks && { checks: checks.map(bounded) }),
  };
  const lists = [fitted.warnings, ...(fitted.plan ? [fitted.plan] : []), ...(fitted.checks ?? [])];
  return toLine(
    fitted,
    lists.map(({ samples }) => samples),
  );
}

/** Like `fitResult`, for a copy. */
export function fitCopyResult(result: CopyResult): string {
  const { pruned } = result;
  const fitted = {
    ...result,
    message: printable(result.message, MESSAGE_LIMIT),
    warnings: bounded(result.warnings),
    confirmed: result.confirmed.slice(0, LIST_LIMIT),
    pruned: { ...pruned, names: pruned.names.slice(0, LIST_LIMIT) },
  };
  return toLine(fitted, [fitted.pruned.names, fitted.confirmed, fitted.warnings.samples]);
}

/** Like `fitResult`, for a check of a location. */
export function fitCheckResult(result: CheckResult): string {
  const { deleteRefused } = result;
  const fitted = {
    ...result,
    message: printable(result.message, MESSAGE_LIMIT),
    ...(deleteRefused !== undefined && { deleteRefused: printable(deleteRefused, MESSAGE_LIMIT) }),
  };
  return toLine(fitted, []);
}

function bounded<T extends { readonly samples: readonly string[] }>(of: T): T & { samples: string[] } {
  return { ...of, samples: of.samples.slice(0, LIST_LIMIT).map((sample) => printable(sample, 256)) };
}

/** @param lists The parts of the result that may be cut. */
function toLine(fitted: { message: string }, lists: readonly string[][]): string {
  for (;;) {
    const line = JSON.stringify(fitted);
    if (Buffer.byteLength(line) < RESULT_LIMIT) return `${line}\n`;
    const longest = lists.reduce((a, b) => (JSON.stringify(b).length > JSON.stringify(a).length ? b : a));
    if (longest.length > 0) longest.pop();
    else if (fitted.message.length > 16) fitted.message = shorten(fitted.message, fitted.message.length / 2);
    else throw new ArchiveError('Internal', 'the result does not fit its file');
  }
}

/**
 * Checks before a run that its result can be written after it.
 * @throws {ArchiveError} Usage when the path is a directory, its directory does not exist, or it may not be written.
 */
export function checkResultFile(file: string): void {
  try {
    const stats = statSync(file, { throwIfNoEntry: false });
    if (stats?.isDirectory()) throw new ArchiveError('Usage', `--result-file ${file} is a directory.`);
    if (!stats && !statSync(path.dirname(file), { throwIfNoEntry: false })?.isDirectory()) {
      throw new ArchiveError('Usage', `--result-file ${file}: its directory does not exist.`);
    }
    accessSync(stats ? file : path.dirname(file), constants.W_OK);
  } catch (error) {
    if (error instanceof ArchiveError) throw error;
    throw new ArchiveError('Usage', `--result-file: ${writeError(error, file).message}`, { cause: error });
  }
}

export function writeResult(file: string, result: RunResult): void {
  try {
    writeFileSync(file, fitResult(result));
  } catch (error) {
    const outcome = result.archive ? `The archive ${result.archive.path} was written, but the` : 'The';
    const { reason, message } = writeError(error, file);
    throw new ArchiveError(reason, `${outcome} result file was not: ${message}`, { cause: error });
  }
}

export const writeRestoreResult = (file: string, result: RestoreResult): void =>
  writeLine(file, fitRestoreResult(result), result);
export const writeCopyResult = (file: string, result: CopyResult): void =>
  writeLine(file, fitCopyResult(result), result);
export const writeCheckResult = (file: string, result: CheckResult): void =>
  writeLine(file, fitCheckResult(result), result);

function writeLine(file: string, line: string, result: { readonly message: string }): void {
  try {
    writeFileSync(file, line);
  } catch (error) {
    const { reason, message } = writeError(error, file);
    throw new ArchiveError(reason, `${result.message} But the result file was not written: ${message}`, {
      cause: error,
    });
  }
}

function shorten(text: string, limit: number): string {
  return text.length <= limit ? text : `${text.slice(0, Math.max(1, Math.floor(limit) - 1))}…`;
}
