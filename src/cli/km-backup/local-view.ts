/** A copy as local files, for as long as a command reads it. */
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ArchiveError, type Member, membersOfPaths } from '../../archive/index.ts';
import {
  type ArchiveList,
  type FetchOptions,
  fetchArchive,
  fetchManifest,
  fetchMembers,
  fetchOriginalManifest,
  fetchPaths,
} from '../../offsite/index.ts';
import { codeOf } from '../../posix/system-error.ts';
import { type ChosenCopy, chosenAt } from './choose-copy.ts';
import type { CliContext } from './context.ts';
import type { CopyFlags } from './location-flags.ts';

/**
 * - `whole`: the archive, bit for bit.
 * - `manifest`: the manifest alone. In the archive's place is a sparse file of its length.
 * - a list of paths: also the members that hold them; other members may be left out of the manifest.
 * - a function: also the members that it names, given the archive's path; the whole archive if it names none.
 */
export type Part =
  | 'whole'
  | 'manifest'
  | readonly string[]
  | ((archive: string) => Promise<readonly Member[] | undefined>);

const isPaths = (part: Part): part is readonly string[] => typeof part === 'object';

const nameOf = ({ location, archive }: FetchOptions) => `${location.url}: ${archive}`;

/** Removes its files at the end. */
export class LocalView implements Disposable {
  /** Path of the archive; its manifest is next to it. */
  readonly archive: string;
  readonly #directory: string;

  private constructor(directory: string, archive: string) {
    this.#directory = directory;
    this.archive = archive;
  }

  /**
   * @param workDirectory default: that of temporary files
   * @throws {ArchiveError} EntryMissing, IdentityMismatch, PackMissing, ArchiveCorrupt, NoSpace; Usage when the work
   *   directory cannot be written to
   */
  static async of(
    { options, list }: ChosenCopy,
    part: Part,
    { workDirectory = tmpdir(), progress, isPinned = false }: ViewOptions = {},
  ): Promise<LocalView> {
    const directory = workDirectoryIn(workDirectory);
    const view = new LocalView(directory, path.join(directory, options.archive));
    try {
      if (part === 'whole') await fetchArchive({ ...options, progress }, view.archive);
      else if (isPaths(part) && list.manifestTable && !isPinned) {
        await fetchPaths(options, list, list.manifestTable, part, view.archive);
      } else {
        const fetch = isPinned ? fetchOriginalManifest : fetchManifest;
        await fetch(options, list, `${view.archive}.manifest`);
        if (typeof part === 'function') await view.#fetchNeeded(options, list, part, progress);
        else {
          const found = isPaths(part)
            ? await membersOfPaths(view.archive, part, options.signal, nameOf(options))
            : undefined;
          await fetchMembers(options, list, found?.members ?? [], view.archive);
        }
      }
      return view;
    } catch (error) {
      view[Symbol.dispose]();
      throw error;
    }
  }

  async #fetchNeeded(
    options: FetchOptions,
    list: ArchiveList,
    needed: (archive: string) => Promise<readonly Member[] | undefined>,
    progress: ViewOptions['progress'],
  ): Promise<void> {
    // The file has its length before anything is asked about it.
    writeFileSync(this.archive, '');
    truncateSync(this.archive, list.sizeBytes);
    const members = await needed(this.archive);
    rmSync(this.archive);
    if (members) await fetchMembers({ ...options, progress }, list, members, this.archive);
    else {
      rmSync(`${this.archive}.manifest`);
      await fetchArchive({ ...options, progress }, this.archive);
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** The copy that the flags mean, or a part of it. @throws {ArchiveError} as `chooseCopy` and `LocalView.of` */
export async function viewAt(
  url: string,
  part: Part,
  flags: CopyFlags,
  context: CliContext,
): Promise<LocalView> {
  return await LocalView.of(await chosenAt(url, flags, context), part);
}

export interface ViewOptions {
  readonly workDirectory?: string | undefined;
  /** The digest of the manifest is looked at, so it must have the bytes that were copied. */
  readonly isPinned?: boolean;
  /** Of the bytes that are fetched. */
  readonly progress?: (bytes: number, ofBytes: number) => void;
}

function workDirectoryIn(parent: string): string {
  try {
    return mkdtempSync(path.join(parent, 'km-backup-'));
  } catch (error) {
    throw new ArchiveError(
      'Usage',
      `Nothing can be put into ${parent} (${codeOf(error) ?? error}). Pass another --work-dir.`,
    );
  }
}
