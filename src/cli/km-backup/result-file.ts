import { writeFileSync } from 'node:fs';
import type { RunResult } from '../../api/run-result.ts';
import { ArchiveError } from '../../archive/index.ts';

/** The kubelet keeps this much of a termination message, and no more. */
export const RESULT_LIMIT = 4096;

const MESSAGE_LIMIT = 1024;
const LIST_LIMIT = 120;

/** The result as one line of JSON within the limit: samples and names go from the back, counts stay. */
export function fitResult(result: RunResult): string {
  const message = shorten(result.message, MESSAGE_LIMIT);
  const fitted = {
    ...result,
    message,
    warnings: {
      ...result.warnings,
      samples: result.warnings.samples.slice(0, LIST_LIMIT).map((sample) => shorten(sample, 256)),
    },
    pruned: { ...result.pruned, names: result.pruned.names.slice(0, LIST_LIMIT) },
    present: { ...result.present, names: result.present.names.slice(0, LIST_LIMIT) },
  };
  const lists = [fitted.present.names, fitted.pruned.names, fitted.warnings.samples];
  for (;;) {
    const line = JSON.stringify(fitted);
    if (Buffer.byteLength(line) < RESULT_LIMIT) return `${line}\n`;
    const longest = lists.reduce((a, b) => (JSON.stringify(b).length > JSON.stringify(a).length ? b : a));
    if (longest.length > 0) longest.pop();
    else if (fitted.message.length > 16) fitted.message = shorten(fitted.message, fitted.message.length / 2);
    else throw new ArchiveError('Internal', 'the result does not fit its file');
  }
}

export function writeResult(file: string, result: RunResult): void {
  try {
    writeFileSync(file, fitResult(result));
  } catch (error) {
    throw new ArchiveError(
      'WriteFailed',
      `The result cannot be written to ${file}: ${error instanceof Error ? error.message : error}`,
      { cause: error },
    );
  }
}

function shorten(text: string, limit: number): string {
  return text.length <= limit ? text : `${text.slice(0, Math.max(1, Math.floor(limit) - 1))}…`;
}
