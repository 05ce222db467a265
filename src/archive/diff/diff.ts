/** What differs between two archives, from their manifests alone. */
import { setImmediate } from 'node:timers/promises';
import type { ByteString } from '../format/byte-string.ts';
import { compareWalkOrder } from '../format/byte-string.ts';
import type { Entry } from '../format/entry.ts';
import type { Line } from './blocks.ts';
import { type Chosen, chosenNames, type NamePatterns } from './chosen-names.ts';
import { type Aspect, compareEntries } from './compare.ts';
import { Side } from './side.ts';

export type Difference = { readonly path: ByteString } & (
  | {
      readonly change: 'added';
      readonly before?: undefined;
      readonly after: Entry;
      readonly aspects?: undefined;
    }
  | {
      readonly change: 'removed';
      readonly before: Entry;
      readonly after?: undefined;
      readonly aspects?: undefined;
    }
  | {
      /** `changed`: other content or another type. `metadata`: anything else that a restore brings back. */
      readonly change: 'changed' | 'metadata';
      readonly before: Entry;
      readonly after: Entry;
      readonly aspects: readonly Aspect[];
    }
);

export type Change = Difference['change'];

export interface ChangeTotals {
  entries: number;
  /** Of them, regular files. */
  files: number;
  /** Bytes of these files. */
  bytesBefore: number;
  bytesAfter: number;
}

export interface DiffTotals extends Readonly<Record<Change, Readonly<ChangeTotals>>> {
  /** Entries that are the same in both. Undefined if patterns chose names: others were not counted. */
  readonly unchanged: number | undefined;
  /** Whether files were compared by size and mtime alone, because an archive has no manifest. */
  readonly byTime: boolean;
}

export interface DiffOptions extends NamePatterns {
  /** Path of the earlier archive. */
  readonly before: string;
  /** Path of the later archive. */
  readonly after: string;
  readonly signal?: AbortSignal | undefined;
}

/** Differences that are handed over at once. */
const BATCH = 1000;

/**
 * Yields the differences in the order of paths, in batches, and returns the totals. Reads both manifests side by side
 * and holds a few frames of each, whatever their size. An archive without a manifest is read whole, and its entries
 * are held in memory.
 *
 * @throws {ArchiveError} ArchiveMissing, ArchiveUnreadable, ArchiveCorrupt or ManifestInvalid.
 */
export async function* diffArchives(options: DiffOptions): AsyncGenerator<readonly Difference[], DiffTotals> {
  const { signal } = options;
  await using before = Side.ofArchive(options.before, signal);
  await using after = Side.ofArchive(options.after, signal);
  return yield* diffSides(before, after, options);
}

/** The same of two manifests. */
export async function* diffManifests(
  options: DiffOptions,
): AsyncGenerator<readonly Difference[], DiffTotals> {
  await using before = Side.ofManifest(options.before);
  await using after = Side.ofManifest(options.after);
  return yield* diffSides(before, after, options);
}

async function* diffSides(
  before: Side,
  after: Side,
  options: DiffOptions,
): AsyncGenerator<readonly Difference[], DiffTotals> {
  const { signal } = options;
  const byTime = !before.hasManifest || !after.hasManifest;
  const found = new Found(chosenNames(options));
  for (;;) {
    const filling = [before.fill(), after.fill()];
    if (filling[0] ?? filling[1]) {
      await Promise.all(filling);
      // Lets signals in.
      await setImmediate();
      signal?.throwIfAborted();
    }
    // Lines within a group are in no total: a manifest says how many entries it has.
    if (before.skipSameGroup(after) || before.skipSameLines(after)) continue;
    if (before.skipSameLine(after)) {
      found.unchanged++;
      continue;
    }
    const [a, b] = [before.line, after.line];
    if (!a && !b) break;
    const order = !a ? 1 : !b ? -1 : compareWalkOrder(a.recorded.entry.path, b.recorded.entry.path);
    if (order <= 0) before.advance(true);
    if (order >= 0) after.advance(true);
    found.add(order, a, b, byTime);
    if (found.pending.length >= BATCH) yield found.take();
  }
  if (found.pending.length > 0) yield found.take();
  return found.totals(before.entries, byTime);
}

class Found {
  pending: Difference[] = [];
  /** Lines that are the same, apart from those in blocks that are the same. */
  unchanged = 0;
  readonly #chosen: Chosen | undefined;
  readonly #counts: Record<Change, ChangeTotals> = {
    added: zero(),
    removed: zero(),
    changed: zero(),
    metadata: zero(),
  };

  constructor(chosen: Chosen | undefined) {
    this.#chosen = chosen;
  }

  /** @param order Below 0: only `a` has the path. Above 0: only `b` has it. */
  add(order: number, a: Line | undefined, b: Line | undefined, byTime: boolean): void {
    const before = order <= 0 ? a!.recorded : undefined;
    const after = order >= 0 ? b!.recorded : undefined;
    const { path, type } = (after ?? before)!.entry;
    if (this.#chosen && !this.#chosen(path, type === 'directory')) return;
    if (!before) this.#push({ path, change: 'added', after: after!.entry });
    else if (!after) this.#push({ path, change: 'removed', before: before.entry });
    else {
      const comparison = compareEntries(before, after, byTime);
      if (comparison) this.#push({ path, ...comparison, before: before.entry, after: after.entry });
      else this.unchanged++;
    }
  }

  #push(difference: Difference): void {
    const { change, before, after } = difference;
    const counts = this.#counts[change];
    counts.entries++;
    if ((after ?? before)!.type === 'file') counts.files++;
    counts.bytesBefore += before?.size ?? 0;
    counts.bytesAfter += after?.size ?? 0;
    this.pending.push(difference);
  }

  take(): readonly Difference[] {
    const taken = this.pending;
    this.pending = [];
    return taken;
  }

  /** @param entriesBefore Undefined if they were all compared line by line. */
  totals(entriesBefore: number | undefined, byTime: boolean): DiffTotals {
    const { removed, changed, metadata } = this.#counts;
    const others = removed.entries + changed.entries + metadata.entries;
    const unchanged = entriesBefore === undefined ? this.unchanged : entriesBefore - others;
    return { ...this.#counts, unchanged: this.#chosen ? undefined : unchanged, byTime };
  }
}

function zero(): ChangeTotals {
  return { entries: 0, files: 0, bytesBefore: 0, bytesAfter: 0 };
}
