import { ArchiveError } from '../errors.ts';
import { type ByteString, display, fromText, ROOT } from '../format/byte-string.ts';
import { DeepPaths } from './deep-paths.ts';
import { chosenPath } from './extract-plan.ts';
import { refused } from './failures.ts';

/** Paths that a restore is limited to; each brings everything below it. */
export class ChosenPaths {
  /** None lies below another one. */
  readonly paths: readonly ByteString[];
  readonly #set: ReadonlySet<ByteString>;
  readonly #above: ReadonlySet<ByteString>;

  /** @throws {ArchiveError} Usage when no archive can hold one of them. */
  constructor(given: readonly string[]) {
    const all = new Set(given.map(chosenPath));
    if (all.has(ROOT)) {
      throw new ArchiveError('Usage', '--path names the whole tree: leave it out to restore all of it.');
    }
    this.paths = outermost(all);
    this.#set = new Set(this.paths);
    this.#above = new Set(this.paths.flatMap(ancestorsOf));
  }

  /** Whether an entry is one of them, or lies below one. */
  includes(path: ByteString): boolean {
    return this.#set.has(path) || ancestorsOf(path).some((above) => this.#set.has(above));
  }

  /** Whether one of them lies below a path. */
  leadsThrough(path: ByteString): boolean {
    return path === ROOT || this.#above.has(path);
  }
}

/**
 * The paths to put in place in a live tree: for one below directories that are missing there, the outermost of these.
 *
 * @throws {ArchiveError} RestoreRefused when something on the way is not a directory.
 */
export function placesOf(chosen: readonly ByteString[], target: string): ByteString[] {
  using live = new DeepPaths(fromText(target));
  const places = chosen.map((path) => {
    for (const directory of ancestorsOf(path)) {
      const stats = live.lstat(directory);
      if (!stats) return directory;
      if (!stats.isDirectory()) {
        throw refused(
          `'${display(directory)}' in the target is not a directory, so '${display(path)}' has no place below it. Restore '${display(directory)}' as well`,
        );
      }
    }
    return path;
  });
  return outermost(new Set(places));
}

function outermost(paths: ReadonlySet<ByteString>): ByteString[] {
  return [...paths].filter((path) => !ancestorsOf(path).some((above) => paths.has(above))).sort();
}

/** Outermost first, without the root. */
export function ancestorsOf(path: ByteString): ByteString[] {
  const found: ByteString[] = [];
  for (let cut = path.indexOf('/'); cut !== -1; cut = path.indexOf('/', cut + 1)) {
    found.push(path.slice(0, cut) as ByteString);
  }
  return found;
}
