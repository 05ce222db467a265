/** When an archive is suspicious. Pure. */
import { formatUnlike } from '../../log/units.ts';
import type { Summary } from '../format/manifest.ts';
import type { Suspicion } from '../format/suspicion.ts';

/** Whole percents, 1 to 100; undefined: the rule is off. */
export interface GuardLimits {
  /** How much smaller the source may be: by number of files, or by bytes. */
  readonly maxShrinkPercent?: number | undefined;
  /** Of the files of the archive before, how many may be removed or have other content. */
  readonly maxChangePercent?: number | undefined;
}

/** Content that is not the same in both archives, and what it takes compressed. */
export interface Replaced {
  readonly contentBefore: number;
  readonly compressedBefore: number;
  readonly contentAfter: number;
  readonly compressedAfter: number;
}

export interface Judged {
  readonly before: Pick<Summary, 'archive' | 'files' | 'sourceBytes'>;
  readonly after: Pick<Summary, 'files' | 'sourceBytes'>;
  /** Files of the archive before that are gone, or have other content. */
  readonly changedFiles: number;
  readonly replaced: Replaced;
}

/** Less content than this says nothing: a few photos, a rotated log. */
const MIN_CONTENT = 16 * 1024 * 1024;
/** Text, databases and office files compress to less than this part of their size. */
const COMPRESSIBLE = 0.8;
/** Encrypted content does not compress at all; what headers and padding save is little. */
const INCOMPRESSIBLE = 0.97;

/** Why the archive is suspicious; empty if it is not. */
export function judge(
  judged: Judged,
  { maxShrinkPercent, maxChangePercent }: GuardLimits,
): Suspicion['reasons'] {
  const { before, after, changedFiles, replaced } = judged;
  const reasons: Suspicion['reasons'][number][] = [];
  const files = lossPercent(before.files, after.files);
  const bytes = lossPercent(before.sourceBytes, after.sourceBytes);
  if (maxShrinkPercent !== undefined && Math.max(files, bytes) > maxShrinkPercent) {
    const what =
      files > maxShrinkPercent
        ? `${shown(files)} fewer files (${after.files} instead of ${before.files})`
        : `${shown(bytes)} fewer bytes (${formatUnlike(after.sourceBytes, before.sourceBytes).join(' instead of ')})`;
    reasons.push({
      rule: 'shrink',
      message: `The source has ${what} than ${before.archive}; the limit is ${maxShrinkPercent}%.`,
    });
  }
  const changed = before.files > 0 ? (100 * changedFiles) / before.files : 0;
  if (maxChangePercent !== undefined && changed > maxChangePercent) {
    reasons.push({
      rule: 'change',
      message: `${changedFiles} of the ${before.files} files in ${before.archive} (${shown(changed)}) are gone or have other content; the limit is ${maxChangePercent}%.`,
    });
  }
  if (isNoLongerCompressible(replaced)) {
    const [from, to] = [
      ratio(replaced.compressedBefore, replaced.contentBefore),
      ratio(replaced.compressedAfter, replaced.contentAfter),
    ];
    reasons.push({
      rule: 'compression',
      message: `What changed since ${before.archive} no longer compresses: it took ${shown(100 * from)} of its size before, and ${shown(100 * to)} now. It may have been encrypted.`,
    });
  }
  return reasons;
}

/**
 * Content that compressed was replaced by about as much that does not. A log that was rotated and compressed has become
 * much smaller, and new photos replace nothing: neither counts.
 */
function isNoLongerCompressible(replaced: Replaced): boolean {
  const { contentBefore, compressedBefore, contentAfter, compressedAfter } = replaced;
  return (
    Math.min(contentBefore, contentAfter) >= MIN_CONTENT &&
    contentAfter >= contentBefore / 2 &&
    contentAfter <= contentBefore * 2 &&
    ratio(compressedBefore, contentBefore) < COMPRESSIBLE &&
    ratio(compressedAfter, contentAfter) > INCOMPRESSIBLE
  );
}

function lossPercent(before: number, after: number): number {
  return before > after ? (100 * (before - after)) / before : 0;
}

const ratio = (part: number, whole: number): number => (whole > 0 ? part / whole : 1);

/** Never rounded down to the limit that it exceeds. */
function shown(percent: number): string {
  return `${Math.ceil(percent * 10) / 10}%`;
}
