/** Compares each new archive with the one before it, and calls it suspicious where the limits say so. */
import type { Guard } from '../create/create.ts';
import { listArchives } from '../destination/inventory.ts';
import { diffManifests } from '../diff/diff.ts';
import { ArchiveError } from '../errors.ts';
import type { Summary } from '../format/manifest.ts';
import { manifestNameOf } from '../format/names.ts';
import { replacedContent } from './replaced.ts';
import { type GuardLimits, type Judged, judge } from './rules.ts';

/**
 * The guard with these limits. The first archive of a series is never suspicious. An archive that cannot be compared,
 * because every earlier manifest is damaged, is not suspicious either: a note says so.
 */
export function guardWith(limits: GuardLimits): Guard {
  return async ({ manifest, summary, destination, signal }) => {
    const earlier = listArchives(destination).filter(
      (archive) =>
        archive.summary?.series === summary.series &&
        (archive.class === 'complete' || archive.class === 'incomplete'),
    );
    const notes: string[] = [];
    for (const archive of earlier) {
      try {
        const judged = await compare(
          archive.summary!,
          manifestNameOf(archive.path),
          summary,
          manifest,
          signal,
        );
        const reasons = judge(judged, limits);
        if (reasons.length === 0) return { notes };
        const { archive: name, sha256 } = summary;
        return {
          suspicion: { version: 1, archive: name, sha256, comparedWith: archive.name, reasons },
          notes,
        };
      } catch (error) {
        if (!(error instanceof ArchiveError) || signal?.aborted) throw error;
        notes.push(`The guard could not compare with ${archive.name}: ${error.message}`);
      }
    }
    return { notes };
  };
}

async function compare(
  before: Summary,
  beforeManifest: string,
  after: Summary,
  afterManifest: string,
  signal: AbortSignal | undefined,
): Promise<Judged> {
  const differences = diffManifests({ before: beforeManifest, after: afterManifest, signal });
  for (;;) {
    const next = await differences.next();
    if (!next.done) continue;
    const { removed, changed } = next.value;
    const changedFiles = removed.files + changed.files;
    // What did not change cannot compress worse.
    const replaced =
      changedFiles === 0 ? nothing : await replacedContent(beforeManifest, afterManifest, signal);
    return { before, after, changedFiles, replaced };
  }
}

const nothing = { contentBefore: 0, compressedBefore: 0, contentAfter: 0, compressedAfter: 0 };
