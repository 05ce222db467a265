import type { ByteString } from '../format/byte-string.ts';
import { fromText, ROOT } from '../format/byte-string.ts';
import type { Entry } from '../format/entry.ts';
import type { WorkerPool } from '../pool/worker-pool.ts';
import type { ChosenPaths } from './chosen-paths.ts';
import { type Compared, compareEntries } from './compare-entries.ts';
import { type Aspect, type Difference, differences } from './compare-entry.ts';
import { EntryGate } from './entry-gate.ts';
import type { RestoreJobs } from './jobs.ts';
import { LiveTree } from './live-tree.ts';
import { mergeWalk } from './merge-walk.ts';
import { withRecorded } from './recorded.ts';
import { SharedWork } from './shared-work.ts';
import type { Source } from './source.ts';
import type { StageOptions } from './stage-options.ts';
import { list, type Validated } from './validate.ts';

type FromManifest = Extract<Source, { against: 'manifest' }>;
type CompareOptions = Pick<StageOptions, 'policy' | 'signal' | 'warn'>;

const BATCH_ENTRIES = 256;

/** Reasons that were given while attributes were set, by path. Bounded: without its reason a loss is still told. */
export class RefusedAttributes {
  static readonly #MAX_PATHS = 1000;
  readonly #reasons = new Map<ByteString, string[]>();

  readonly add = (path: ByteString, message: string): void => {
    const known = this.#reasons.get(path);
    if (known) known.push(message);
    else if (this.#reasons.size < RefusedAttributes.#MAX_PATHS) this.#reasons.set(path, [message]);
  };

  take(path: ByteString): readonly string[] | undefined {
    return this.#reasons.get(path);
  }
}

/**
 * Compares every entry of a staged tree with its record, except the content of files, which was checked while it was
 * written. Uses all threads. Each difference is a warning, in the order of the manifest.
 *
 * @param keptRoot The target, if it stays in its place (a mount point): what is right of it already is not lost.
 */
export async function compareStaged(
  source: FromManifest,
  { listing }: Validated,
  root: string,
  { refused, keptRoot }: { readonly refused: RefusedAttributes; readonly keptRoot: string | undefined },
  { policy, signal, warn }: CompareOptions,
  pool: WorkerPool<RestoreJobs>,
): Promise<void> {
  const archive = source.info.path;
  const shared = new SharedWork({ kind: 'compare', here: compareEntries, pool, signal });
  let kept: ReadonlySet<Aspect> = new Set();
  const tell = teller(refused, warn);
  const inOrder = new InOrder<Compared[]>((compared) => {
    for (const { path, found } of compared) {
      tell(path, path === ROOT ? found?.filter(({ aspect }) => !kept.has(aspect)) : found);
    }
  });
  let batch = emptyBatch();
  const flush = async () => {
    const { lines, leftOut } = batch;
    batch = emptyBatch();
    await shared.send({ root, lines, leftOut, policy }, inOrder.next());
  };
  try {
    for await (const listed of listing ?? list(archive, new EntryGate(policy))) {
      for (const { given, admission } of listed.noted) {
        if (admission.kind === 'skip') batch.leftOut.add(given.path);
        else if (given.path === ROOT && keptRoot !== undefined) kept = rightAspects(given, keptRoot);
      }
      if (listed.lines !== '') batch.lines.push(listed.lines);
      batch.entries += listed.entries;
      if (batch.entries >= BATCH_ENTRIES) await flush();
    }
    await flush();
    await shared.settle();
  } finally {
    await shared.stop();
  }
}

function emptyBatch() {
  return { lines: [] as string[], leftOut: new Set<ByteString>(), entries: 0 };
}

/** Passes results on in the order in which they were asked for. */
class InOrder<T> {
  readonly #use: (result: T) => void;
  readonly #early = new Map<number, T>();
  #asked = 0;
  #used = 0;

  constructor(use: (result: T) => void) {
    this.#use = use;
  }

  /** @returns Takes the result that is next in order. */
  next(): (result: T) => void {
    const index = this.#asked++;
    return (result) => {
      this.#early.set(index, result);
      for (let ready = this.#take(); ready !== undefined; ready = this.#take()) this.#use(ready);
    };
  }

  #take(): T | undefined {
    const result = this.#early.get(this.#used);
    if (result !== undefined) this.#early.delete(this.#used++);
    return result;
  }
}

/** As `compareStaged`, for the chosen paths of a tree that holds little else. */
export async function compareChosen(
  source: FromManifest,
  root: string,
  refused: RefusedAttributes,
  chosen: ChosenPaths,
  { policy, signal, warn }: CompareOptions,
): Promise<void> {
  using tree = new LiveTree(fromText(root));
  const tell = teller(refused, warn);
  await withRecorded(source, policy, signal, async (recorded) => {
    const entries = tree.walk(() => false);
    await mergeWalk(recorded, entries, (entry, staged) => {
      // Directories above an entry that the archive does not list.
      if (entry && chosen.includes(entry.path)) tell(entry.path, staged && differences(entry, staged));
    });
  });
}

/** @returns Warns of what was found at a path; undefined: it is missing. */
function teller(refused: RefusedAttributes, warn: StageOptions['warn']) {
  return (path: ByteString, found: readonly Difference[] | undefined): void => {
    if (!found) {
      warn(path, 'is missing in the restored tree', 'type');
      return;
    }
    for (const { aspect, message } of found) if (aspect !== 'xattrs') warn(path, message, aspect);
    const lost = found.filter(({ aspect }) => aspect === 'xattrs').map(({ message }) => message);
    if (lost.length === 0) return;
    for (const message of refused.take(path) ?? lost) warn(path, message, 'xattrs');
  };
}

const ASPECTS: readonly Aspect[] = ['type', 'size', 'link', 'mode', 'owner', 'mtime', 'xattrs'];

/** What the directory at a path has as recorded. */
function rightAspects(entry: Entry, directory: string): Set<Aspect> {
  using tree = new LiveTree(fromText(directory));
  const live = tree.at(ROOT);
  const wrong = new Set(live ? differences(entry, live).map(({ aspect }) => aspect) : ASPECTS);
  return new Set(ASPECTS.filter((aspect) => !wrong.has(aspect)));
}
