/** The archives that diff and history choose from: of a directory, or the copies in a location. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import type { Command } from 'commander';
import { ArchiveError, type HistoryArchive, listArchives } from '../../archive/index.ts';
import { type CliContext, DESTINATION_HELP, existingDirectory, requiredDestination } from './context.ts';
import {
  addIdentityFlag,
  addLocationFlags,
  type IdentityFlags,
  isLocation,
  type LocationFlags,
} from './location-flags.ts';

export interface PlaceFlags extends LocationFlags, IdentityFlags {
  readonly destination?: string;
  readonly series?: string;
}

export interface ArchiveAt extends HistoryArchive {
  /** Undefined if it has none, or no manifest that says so. */
  readonly series: string | undefined;
  /** Whether `newest` and `previous` can mean it. */
  readonly isSound: boolean;
}

export function addPlaceFlags(command: Command): Command {
  return addIdentityFlag(
    addLocationFlags(
      command
        .option('--destination <dir>', DESTINATION_HELP)
        .option('--series <series>', 'only archives of this series'),
    ),
  );
}

/** The first argument if it is the address of a location, and the others. */
export function splitArguments(given: readonly string[]): {
  url: string | undefined;
  rest: readonly string[];
} {
  const [first, ...rest] = given;
  return isLocation(first) ? { url: first, rest } : { url: undefined, rest: given };
}

/** Newest first. @throws {ArchiveError} Usage, DestinationUnusable, LocationUnavailable… */
export async function archivesAt(
  url: string | undefined,
  flags: PlaceFlags,
  context: CliContext,
): Promise<ArchiveAt[]> {
  if (url !== undefined) {
    const { copiesIn } = await import('./choose-copy.ts');
    const { findList } = await import('../../offsite/index.ts');
    const { LocalView } = await import('./local-view.ts');
    return (await copiesIn(url, flags, context)).map((options) => ({
      name: options.archive,
      series: options.series || undefined,
      isSound: true,
      async open() {
        const view = await LocalView.of({ options, list: await findList(options) }, 'manifest');
        return { path: view.archive, [Symbol.dispose]: () => view[Symbol.dispose]() };
      },
    }));
  }
  const directory = existingDirectory(requiredDestination(context, flags.destination));
  return listArchives(directory)
    .map(({ name, path: file, class: kind, summary }) => ({
      ...localArchive(name, file),
      series: summary?.series ?? undefined,
      isSound: kind !== 'corrupt' && kind !== 'unreadable',
    }))
    .filter(({ series }) => flags.series === undefined || series === flags.series);
}

/** @param wanted `newest`, `previous` (the one before it), a name, or a path, which needs no destination. */
export async function chooseArchive(
  wanted: string,
  list: () => Promise<readonly ArchiveAt[]>,
  isLocal: boolean,
): Promise<ArchiveAt> {
  if (isLocal && (wanted.includes('/') || existsSync(wanted))) {
    return { ...localArchive(path.basename(wanted), wanted), series: undefined, isSound: true };
  }
  const archives = await list();
  if (wanted === 'newest' || wanted === 'previous') return newestOf(archives, wanted);
  const found = archives.filter(({ name }) => name === wanted);
  const [first] = found;
  if (!first) {
    throw new ArchiveError(
      isLocal ? 'ArchiveMissing' : 'CopyMissing',
      `No archive is called ${wanted}: pass a name that km-backup list shows, a path, newest, or previous.`,
    );
  }
  if (found.length === 1) return first;
  throw new ArchiveError('Usage', `Several series have an archive ${wanted}: name one with --series.`);
}

function newestOf(archives: readonly ArchiveAt[], wanted: 'newest' | 'previous'): ArchiveAt {
  const sound = archives.filter(({ isSound }) => isSound);
  const [newest] = sound;
  const previous = sound.slice(1).find(({ series }) => series === newest?.series);
  const chosen = wanted === 'newest' ? newest : previous;
  if (chosen) return chosen;
  throw new ArchiveError(
    'ArchiveMissing',
    newest
      ? `${newest.name} is the only archive of its series, so there is no previous one.`
      : 'There are no archives.',
  );
}

function localArchive(name: string, file: string): HistoryArchive {
  return { name, open: async () => ({ path: file, [Symbol.dispose]: () => {} }) };
}
