import { setImmediate } from 'node:timers/promises';
import { type ByteString, compareWalkOrder } from '../format/byte-string.ts';
import type { Entry } from '../format/entry.ts';
import { readManifest } from '../format/manifest-reader.ts';
import { manifestNameOf } from '../format/names.ts';
import { isSkipped, type RestorePolicy, withoutPrivileges } from './entry-gate.ts';
import { OutOfOrder } from './merge-walk.ts';
import type { Source } from './source.ts';
import { readWhole } from './validate.ts';

export type RecordedBatches = AsyncIterable<readonly Entry[]> | Iterable<readonly Entry[]>;

/**
 * Gives the entries of a validated archive to `use` in walk order, as they are to be restored. They are read from the
 * manifest as they are needed; where the archive has them in another order, or has no manifest, all are held in memory.
 *
 * @param use Called again from the start when the order turns out to be another.
 */
export async function withRecorded<T>(
  source: Source,
  policy: RestorePolicy,
  signal: AbortSignal | undefined,
  use: (recorded: RecordedBatches) => Promise<T>,
): Promise<T> {
  if (source.against === 'manifest') {
    try {
      return await use(fromManifest(source.info.path, policy, signal));
    } catch (error) {
      if (!(error instanceof OutOfOrder)) throw error;
    }
  }
  const all: Entry[] = [];
  if (source.against === 'manifest') {
    for await (const batch of fromManifest(source.info.path, policy, signal)) all.push(...batch);
  } else {
    const nothing = () => {};
    const filter = new Restorable(policy);
    const entry = (given: Entry) => all.push(...filter.of([given]));
    await readWhole(source, { entry, data: nothing, endEntry: nothing }, signal);
  }
  return await use([all.sort((a, b) => compareWalkOrder(a.path, b.path))]);
}

async function* fromManifest(
  archive: string,
  policy: RestorePolicy,
  signal: AbortSignal | undefined,
): AsyncGenerator<readonly Entry[]> {
  const filter = new Restorable(policy);
  for await (const { entries } of readManifest(manifestNameOf(archive))) {
    signal?.throwIfAborted();
    yield filter.of(entries);
    // Lets signals in.
    await setImmediate();
  }
}

/** Leaves out what a restore leaves out. */
class Restorable {
  readonly #policy: RestorePolicy;
  readonly #skipped = new Set<ByteString>();

  constructor(policy: RestorePolicy) {
    this.#policy = policy;
  }

  of(entries: readonly Entry[]): Entry[] {
    return entries.filter(this.#isRestored).map((entry) => withoutPrivileges(entry, this.#policy));
  }

  readonly #isRestored = (entry: Entry): boolean => {
    const skipped = isSkipped(entry) || (entry.type === 'hardlink' && this.#skipped.has(entry.link!));
    // Hard links may follow to what was left out.
    if (skipped) this.#skipped.add(entry.path);
    return !skipped;
  };
}
