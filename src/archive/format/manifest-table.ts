/** Which piece of a stored manifest may say something about a path: to read a few files, a reader fetches these alone. */
import { zstdDecompressSync } from 'node:zlib';
import { type ByteString, compareWalkOrder } from './byte-string.ts';
import { parseEntryLine, plainPathOf } from './entry-line.ts';
import type { MemberLines, Summary } from './manifest.ts';
import { invalid, isCount, isRecord } from './manifest-checks.ts';
import { parseSummary } from './manifest-reader.ts';
import { manifestFrame, manifestTail } from './manifest-writer.ts';

/** A piece, and all that one has to know about it before it is read. */
export interface PieceRow {
  /** Length of its frame. */
  readonly frameBytes: number;
  readonly members: number;
  readonly entries: number;
  /** Length of its members in the archive. */
  readonly archiveBytes: number;
  /** Whether its first member is a part of a file that began in the piece before. */
  readonly continues: boolean;
  /** The first and the last path in walk order that it says anything about, parts of large files included. */
  readonly paths: readonly [first: ByteString, last: ByteString] | undefined;
}

export interface ManifestTable {
  /** That of the archive. */
  readonly summary: Summary;
  readonly pieces: readonly PieceRow[];
}

/** A table of more text is refused. */
const MAX_BYTES = 512 * 1024 * 1024;

/** Makes the rows of a table, given every piece in order. */
export class PieceRows {
  readonly rows: PieceRow[] = [];
  /** The entry that came last: parts that follow belong to it. */
  #last: ByteString | undefined;

  /** @param members of the piece @param frameBytes of the piece as it is stored */
  add(members: readonly MemberLines[], frameBytes: number): void {
    let first: ByteString | undefined;
    let last: ByteString | undefined;
    const count = { members: members.length, entries: 0, archiveBytes: 0 };
    const see = (path: ByteString) => {
      if (first === undefined || compareWalkOrder(path, first) < 0) first = path;
      if (last === undefined || compareWalkOrder(path, last) > 0) last = path;
    };
    for (const { member, lines } of members) {
      if (member.kind === 'part' && this.#last !== undefined) see(this.#last);
      for (const line of lines) {
        this.#last = plainPathOf(line) ?? parseEntryLine(line, 'the manifest').path;
        see(this.#last);
      }
      count.entries += lines.length;
      count.archiveBytes += member.size;
    }
    const continues = members[0]?.member.kind === 'part';
    const paths = first === undefined || last === undefined ? undefined : ([first, last] as const);
    this.rows.push({ frameBytes, ...count, continues, paths });
  }
}

export function encodeTable({ summary, pieces }: ManifestTable): Buffer {
  const rows = pieces.map(({ frameBytes, members, entries, archiveBytes, continues, paths }) => [
    ...[frameBytes, members, entries, archiveBytes, continues],
    ...(paths ?? []),
  ]);
  return manifestFrame(Buffer.from(JSON.stringify({ summary, pieces: rows })));
}

/** @throws {ArchiveError} ManifestInvalid */
export function parseTable(frame: Uint8Array, where: string): ManifestTable {
  let value: unknown;
  try {
    value = JSON.parse(zstdDecompressSync(frame, { maxOutputLength: MAX_BYTES }).toString('utf8'));
  } catch (error) {
    throw invalid(where, 'its table is damaged', error);
  }
  if (!isRecord(value) || !Array.isArray(value['pieces'])) throw invalid(where, 'its table is malformed');
  const pieces = value['pieces'].map((row: unknown) => parseRow(row, where));
  return { summary: parseSummary(value['summary'], where), pieces };
}

function parseRow(row: unknown, where: string): PieceRow {
  const [frameBytes, members, entries, archiveBytes, continues, ...paths]: unknown[] = Array.isArray(row)
    ? row
    : [];
  const isSound =
    isCount(frameBytes) &&
    isCount(members) &&
    isCount(entries) &&
    isCount(archiveBytes) &&
    typeof continues === 'boolean' &&
    (paths.length === 0 || paths.length === 2) &&
    paths.every((path) => typeof path === 'string');
  if (!isSound) throw invalid(where, 'a row of its table is malformed');
  const [first, last] = paths as ByteString[];
  return {
    ...{ frameBytes, members, entries, archiveBytes, continues },
    paths: first === undefined || last === undefined ? undefined : [first, last],
  };
}

/** A piece that may matter, with its place in the manifest and that of its members in the archive. */
export interface PlacedPiece extends PieceRow {
  readonly frameOffset: number;
  readonly archiveOffset: number;
}

/** The pieces that may hold entries of these paths, of what is below them, and of the directories above. */
export function piecesAbout(paths: ReadonlySet<ByteString>, { pieces }: ManifestTable): PlacedPiece[] {
  const isWanted = pieces.map((piece) => piece.paths !== undefined && isAbout(paths, piece.paths));
  // Parts are told from those of another file by the header before them.
  for (let at = pieces.length - 1; at > 0; at--)
    if (isWanted[at] && pieces[at]!.continues) isWanted[at - 1] = true;
  let frameOffset = 0;
  let archiveOffset = 0;
  return pieces
    .map((piece) => {
      const placed = { ...piece, frameOffset, archiveOffset };
      frameOffset += piece.frameBytes;
      archiveOffset += piece.archiveBytes;
      return placed;
    })
    .filter((_, at) => isWanted[at]);
}

function isAbout(
  paths: ReadonlySet<ByteString>,
  [first, last]: readonly [first: ByteString, last: ByteString],
): boolean {
  const holds = (path: string) =>
    compareWalkOrder(first, path as ByteString) <= 0 && compareWalkOrder(path as ByteString, last) <= 0;
  for (const path of paths) {
    // What is below a path follows it without a gap, so either it begins in the piece or the piece begins in it.
    if (path === '' || holds(path) || first.startsWith(`${path}/`)) return true;
    for (let cut = path.lastIndexOf('/'); cut > 0; cut = path.lastIndexOf('/', cut - 1)) {
      if (holds(path.slice(0, cut))) return true;
    }
  }
  return false;
}

/** What a manifest of these pieces alone ends with. Its archive is their members, end to end. */
export function tailOf(summary: Summary, pieces: readonly PieceRow[]): Buffer {
  const total = { members: 0, entries: 0, sizeBytes: 0, frames: 0 };
  for (const { members, entries, archiveBytes, frameBytes } of pieces) {
    total.members += members;
    total.entries += entries;
    total.sizeBytes += archiveBytes;
    total.frames += frameBytes;
  }
  const { frames, ...counts } = total;
  return manifestTail({ ...summary, ...counts }, frames);
}
