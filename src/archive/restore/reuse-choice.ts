import { mayShareBlocks } from '../../posix/clone.ts';
import { ArchiveError } from '../errors.ts';
import { settledBefore } from './compare-entry.ts';
import type { Place } from './place.ts';
import type { ReuseSettings } from './reuse.ts';
import type { Source } from './source.ts';

/**
 * - `auto`: clone where blocks can be shared, link where that is safe, copy large files within the kernel elsewhere.
 * - `clone`, `link`: only this, and unpack where it is not possible.
 * - `off`: unpack everything.
 */
export type ReuseWish = 'auto' | 'clone' | 'link' | 'off';

export interface ReuseConditions {
  readonly reuse?: ReuseWish;
  readonly oldState: 'keep' | 'remove';
  readonly ignoreWriters?: boolean;
  readonly stageOnly?: boolean;
  /** Present where the archive has to be fetched first. */
  readonly fetch?: unknown;
}

/**
 * How to take unchanged files over from the live tree.
 *
 * @returns Undefined when every file has to be unpacked.
 * @throws {ArchiveError} Usage when links are asked for that would let the old and the new tree change together.
 */
export function reuseOf(
  { reuse = 'auto', oldState, ignoreWriters, stageOnly, fetch }: ReuseConditions,
  place: Pick<Place, 'exists' | 'target'>,
  source: Source,
): ReuseSettings | undefined {
  const mayLink = oldState === 'remove' && !ignoreWriters && !stageOnly;
  if (reuse === 'link' && !mayLink) {
    throw new ArchiveError(
      'Usage',
      '--reuse link needs --commit, and allows neither --stage-only nor --ignore-writers: the old and the new tree would hold the same files. Use --reuse auto.',
    );
  }
  if (reuse === 'off' || !place.exists || source.against !== 'manifest') return undefined;
  return {
    live: place.target,
    settled: settledBefore(source.summary.startedAt),
    clone: reuse !== 'link',
    link: mayLink && reuse !== 'clone',
    copy: reuse === 'auto',
    copySmall: reuse === 'auto' && fetch !== undefined,
  };
}

/** Whether unchanged files will take no space of their own. */
export function savesSpace(settings: ReuseSettings | undefined): boolean {
  return settings !== undefined && (settings.link || (settings.clone && mayShareBlocks(settings.live)));
}
