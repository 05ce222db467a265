import type { ByteString } from '../format/byte-string.ts';
import { fromText, ROOT } from '../format/byte-string.ts';
import type { Entry } from '../format/entry.ts';
import type { ChosenPaths } from './chosen-paths.ts';
import { type Aspect, differences } from './compare-entry.ts';
import { LiveTree } from './live-tree.ts';
import { mergeWalk } from './merge-walk.ts';
import { withRecorded } from './recorded.ts';
import type { Source } from './source.ts';
import type { StageOptions } from './stage-options.ts';

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
 * written. Each difference is a warning.
 *
 * @param keptRoot The target, if it stays in its place (a mount point): what is right of it already is not lost.
 */
export async function compareStaged(
  source: Source,
  root: string,
  refused: RefusedAttributes,
  keptRoot: string | undefined,
  { policy, signal, warn }: Pick<StageOptions, 'policy' | 'signal' | 'warn'>,
  chosen?: ChosenPaths,
): Promise<void> {
  using tree = new LiveTree(fromText(root));
  await withRecorded(source, policy, signal, async (recorded) => {
    let kept: Set<Aspect> | undefined;
    const entries = tree.walk(() => false);
    await mergeWalk(recorded, entries, (entry, staged) => {
      if (entry?.path === ROOT && keptRoot !== undefined) kept = rightAspects(entry, keptRoot);
      // Directories above an entry that the archive does not list.
      if (!entry || (chosen && !chosen.includes(entry.path))) return;
      if (!staged) return warn(entry.path, 'is missing in the restored tree', 'type');
      const found = differences(entry, staged).filter(
        ({ aspect }) => !kept?.has(aspect) || entry.path !== ROOT,
      );
      for (const { aspect, message } of found) {
        if (aspect !== 'xattrs') warn(entry.path, message, aspect);
      }
      const lost = found.filter(({ aspect }) => aspect === 'xattrs').map(({ message }) => message);
      if (lost.length === 0) return;
      for (const message of refused.take(entry.path) ?? lost) warn(entry.path, message, 'xattrs');
    });
  });
}

const ASPECTS: readonly Aspect[] = ['type', 'size', 'link', 'mode', 'owner', 'mtime', 'xattrs'];

/** What the directory at a path has as recorded. */
function rightAspects(entry: Entry, directory: string): Set<Aspect> {
  using tree = new LiveTree(fromText(directory));
  const live = tree.at(ROOT);
  const wrong = new Set(live ? differences(entry, live).map(({ aspect }) => aspect) : ASPECTS);
  return new Set(ASPECTS.filter((aspect) => !wrong.has(aspect)));
}
