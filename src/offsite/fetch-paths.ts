/** Brings a few files of a copy back: of the manifest, too, only the pieces that say something about them. */
import { rmSync } from 'node:fs';
import {
  chosenPath,
  type ManifestTable,
  type Member,
  membersOfPaths,
  type PlacedPiece,
  parseTable,
  piecesAbout,
  tailOf,
} from '../archive/index.ts';
import {
  checkSummary,
  damagedManifest,
  type FetchedRange,
  type FetchOptions,
  fetchRanges,
  writing,
} from './fetch.ts';
import type { ArchiveList, Run } from './list-file.ts';
import { piecesAt, readPieces } from './pack-reader.ts';

/**
 * Writes an archive that holds the given paths, and its manifest next to it, for whoever extracts these paths. It has a
 * hole where a member was not needed.
 * @param tableRun from the list; copies of earlier versions have none
 * @throws {ArchiveError} EntryMissing, Usage; and as `fetchManifest`
 */
export async function fetchPaths(
  given: FetchOptions,
  list: ArchiveList,
  tableRun: Run,
  paths: readonly string[],
  file: string,
): Promise<void> {
  const options = { ...given, opened: new Map() };
  const name = `${options.location.url}: ${list.archive}`;
  const wanted = new Set(paths.map(chosenPath));
  const table = await readTable(options, list, tableRun);
  for (;;) {
    const pieces = piecesAbout(wanted, table);
    await writeManifest(options, list, table, pieces, `${file}.manifest`);
    const { members, elsewhere } = await membersOfPaths(file, paths, options.signal, name);
    const further = elsewhere.filter((path) => !wanted.has(path));
    if (further.length === 0) {
      const sizeBytes = pieces.reduce((sum, { archiveBytes }) => sum + archiveBytes, 0);
      await fetchRanges(options, list, rangesOf(members, pieces), { file, sizeBytes });
      return;
    }
    for (const path of further) wanted.add(path);
    rmSync(`${file}.manifest`);
  }
}

async function readTable(options: FetchOptions, list: ArchiveList, run: Run): Promise<ManifestTable> {
  let bytes: Buffer = Buffer.alloc(0);
  await readPieces(options, list, [{ ...run, position: 0 }], (_, found) => {
    bytes = found;
  });
  try {
    const table = parseTable(bytes, list.archive);
    checkSummary(options, list, table.summary);
    return table;
  } catch (error) {
    throw damagedManifest(error, options);
  }
}

/** A manifest of these pieces alone. */
async function writeManifest(
  options: FetchOptions,
  list: ArchiveList,
  { summary }: ManifestTable,
  pieces: readonly PlacedPiece[],
  file: string,
): Promise<void> {
  let position = 0;
  const ranges = pieces.map(({ frameOffset, frameBytes }) => {
    const range = { offset: frameOffset, length: frameBytes, position };
    position += frameBytes;
    return range;
  });
  await writing(file, async (sink) => {
    await readPieces(options, list, piecesAt(list.manifestRuns, ranges, options), (piece, bytes) =>
      sink.write(bytes, piece.position),
    );
    sink.write(tailOf(summary, pieces), position);
  });
}

/** @param members of the archive that consists of the pieces, in its order */
function rangesOf(members: readonly Member[], pieces: readonly PlacedPiece[]): FetchedRange[] {
  let piece = 0;
  let start = 0;
  return members.map(({ offset, size }) => {
    while (offset >= start + pieces[piece]!.archiveBytes) start += pieces[piece++]!.archiveBytes;
    return { offset: pieces[piece]!.archiveOffset + offset - start, length: size, position: offset };
  });
}
