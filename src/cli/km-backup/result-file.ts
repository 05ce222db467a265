import { accessSync, constants, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { RunResult } from '../../api/run-result.ts';
import { ArchiveError, writeError } from '../../archive/index.ts';
import { printable } from '../../log/printable.ts';

/** The kubelet keeps at most this many bytes of a termination message. */
export const RESULT_LIMIT = 4096;

const MESSAGE_LIMIT = 1024;
const LIST_LIMIT = 120;

/** The result as one line of JSON within the limit. Samples and names are dropped from the end; counts stay. */
export function fitResult(result: RunResult): string {
  const message = printable(result.message, MESSAGE_LIMIT);
  const { classes } = result.present;
  const fitted = {
    ...result,
    message,
    warnings: {
      ...result.warnings,
      samples: result.warnings.samples.slice(0, LIST_LIMIT).map((sample) => printable(sample, 256)),
    },
    pruned: { ...result.pruned, names: result.pruned.names.slice(0, LIST_LIMIT) },
    present: {
      ...result.present,
      names: result.present.names.slice(0, LIST_LIMIT),
      ...(classes !== undefined && { classes: classes.slice(0, LIST_LIMIT) }),
    },
    ...(result.notes && { notes: result.notes.map((note) => shorten(note, 512)) }),
  };
  const lists = [fitted.present.names, fitted.pruned.names, fitted.warnings.samples, fitted.notes ?? []];
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
 * Refuses, before a run begins, a file that could not be written after it.
 * @throws {ArchiveError} Usage when it is a directory, lies in none, or may not be written.
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

function shorten(text: string, limit: number): string {
  return text.length <= limit ? text : `${text.slice(0, Math.max(1, Math.floor(limit) - 1))}…`;
}
