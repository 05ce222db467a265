import { closeSync, createReadStream, fstatSync, readSync } from 'node:fs';
import { createZstdDecompress, zstdDecompressSync } from 'node:zlib';
import { isSystemError } from '../../posix/system-error.ts';
import { ArchiveError, readError } from '../errors.ts';
import { joinLines, parseEntryLine } from './entry-line.ts';
import {
  FOOTER_BYTES,
  FOOTER_MAGIC,
  FRAME_BYTES,
  MAX_MEMBER_BYTES,
  type Member,
  type MemberEntries,
  type MemberKind,
  type MemberLines,
  type Summary,
} from './manifest.ts';
import { invalid, isCount, isHex, isRecord } from './manifest-checks.ts';
import { openFile, openFileIfPresent } from './open-file.ts';

/** No valid line is longer. The longest are those of sparse files with many extents. */
const MAX_LINE = 256 * 1024 * 1024;

/**
 * Reads the summary at the end of a manifest.
 * @returns Undefined if the file does not exist.
 * @throws {ArchiveError} ManifestInvalid when it is damaged, ArchiveUnreadable when the system refuses to read it.
 */
export function readSummary(path: string): Summary | undefined {
  const fd = openFileIfPresent(path);
  if (fd === undefined) return undefined;
  try {
    const size = fstatSync(fd).size;
    const footer = Buffer.alloc(FOOTER_BYTES);
    if (size < FOOTER_BYTES || readSync(fd, footer, 0, FOOTER_BYTES, size - FOOTER_BYTES) < FOOTER_BYTES) {
      throw invalid(path, 'it is cut short');
    }
    if (footer.readUInt32LE(0) !== FOOTER_MAGIC || footer.readUInt32LE(4) !== 8) {
      throw invalid(path, 'its last bytes are not those of a manifest');
    }
    const start = Number(footer.readBigUInt64LE(8));
    const length = size - FOOTER_BYTES - start;
    if (!Number.isSafeInteger(start) || length <= 0 || length > FRAME_BYTES)
      throw invalid(path, 'its summary is out of place');
    const bytes = Buffer.alloc(length);
    readSync(fd, bytes, 0, length, start);
    const record: unknown = JSON.parse(
      zstdDecompressSync(bytes, { maxOutputLength: 64 * FRAME_BYTES }).toString('utf8'),
    );
    return parseSummary(isRecord(record) ? record['summary'] : undefined, path);
  } catch (error) {
    throw readFailure(error, path);
  } finally {
    closeSync(fd);
  }
}

/** If the system refused to read, the manifest is unreadable. Any other failure means that it is damaged. */
function readFailure(error: unknown, path: string): ArchiveError {
  if (error instanceof ArchiveError) return error;
  if (isSystemError(error)) return readError(error, path);
  return invalid(path, error instanceof Error ? error.message : String(error), error);
}

/**
 * Yields every member with its entries, in the archive's order.
 * @throws {ArchiveError} ManifestInvalid when the manifest is damaged or cut, has a gap between members, or
 * contradicts its own summary; ArchiveUnreadable when the system refuses to read it.
 */
export async function* readManifest(path: string): AsyncGenerator<MemberEntries, Summary> {
  const members = readMemberLines(path);
  for (;;) {
    const next = await members.next();
    if (next.done) return next.value;
    const { member, lines } = next.value;
    yield { member, lines: joinLines(lines), entries: lines.map((line) => parseEntryLine(line, path)) };
  }
}

/** Like readManifest, with the entries' lines not parsed. */
export async function* readMemberLines(path: string): AsyncGenerator<MemberLines, Summary> {
  const totals = { members: 0, entries: 0, offset: 0 };
  let member: Member | undefined;
  let lines: string[] = [];
  let summary: Summary | undefined;
  try {
    for await (const block of lineBlocks(path)) {
      for (const line of block) {
        if (summary) throw invalid(path, 'lines follow its summary');
        if (line.startsWith('{"path')) {
          if (!member) throw invalid(path, 'an entry stands outside a member');
          lines.push(line);
          totals.entries++;
          continue;
        }
        if (member) {
          yield { member, lines };
          lines = [];
          member = undefined;
        }
        const record: unknown = JSON.parse(line);
        if (!isRecord(record)) throw invalid(path, 'a line is not an object');
        if ('member' in record) {
          member = parseMember(record['member'], totals.offset, path);
          if (member.offset !== totals.offset) throw invalid(path, `a gap before offset ${member.offset}`);
          totals.members++;
          totals.offset += member.size;
        } else {
          summary = parseSummary(record['summary'], path);
        }
      }
    }
  } catch (error) {
    throw readFailure(error, path);
  }
  if (!summary) throw invalid(path, 'it has no summary, so it was cut short');
  if (
    summary.members !== totals.members ||
    summary.entries !== totals.entries ||
    summary.sizeBytes !== totals.offset
  ) {
    throw invalid(path, 'the counts in its summary differ from the members it lists');
  }
  return summary;
}

/**
 * Yields the manifest's lines in blocks. Takes linear time even if one line spans many chunks. Blocks are small: a reader
 * that works long on each would keep the text of large ones until the next full garbage collection.
 */
async function* lineBlocks(path: string): AsyncGenerator<string[]> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const source = createReadStream(path, { fd: openFile(path), highWaterMark: 1 << 17 });
  const plain = source.pipe(createZstdDecompress({ chunkSize: 1 << 16 }));
  source.on('error', (error) => plain.destroy(error));
  let pieces: string[] = [];
  let length = 0;
  try {
    for await (const chunk of plain) {
      const text = decoder.decode(chunk, { stream: true });
      const end = text.lastIndexOf('\n');
      if (end !== -1) {
        pieces.push(text.slice(0, end));
        yield pieces.join('').split('\n');
        pieces = [];
        length = 0;
      }
      const rest = text.slice(end + 1);
      pieces.push(rest);
      length += rest.length;
      if (length > MAX_LINE) throw invalid(path, 'a line is too long');
    }
  } finally {
    source.destroy();
  }
  if (length > 0) throw invalid(path, 'its last line is cut');
}

const memberKinds: ReadonlySet<unknown> = new Set<MemberKind>(['group', 'header', 'part', 'end']);

/** @param position where it lies if it does not say so, as in the pieces of a manifest */
function parseMember(value: unknown, position: number, where: string): Member {
  if (isRecord(value)) value['offset'] ??= position;
  if (
    !isRecord(value) ||
    !memberKinds.has(value['kind']) ||
    !isCount(value['offset']) ||
    !isCount(value['size']) ||
    value['size'] > 2 * MAX_MEMBER_BYTES ||
    !isCount(value['rawSize']) ||
    value['rawSize'] > MAX_MEMBER_BYTES ||
    !isHex(value['sha256']) ||
    (value['kind'] === 'part') !== isHex(value['rawSha256'])
  ) {
    throw invalid(where, 'a member line is malformed');
  }
  return value as unknown as Member;
}

export function parseSummary(value: unknown, where: string): Summary {
  const counts = [
    'level',
    'sizeBytes',
    'members',
    'entries',
    'files',
    'sourceBytes',
    'reusedBytes',
    'socketsSkipped',
    'excluded',
  ];
  if (
    !isRecord(value) ||
    value['format'] !== 1 ||
    typeof value['archive'] !== 'string' ||
    !(value['series'] === null || typeof value['series'] === 'string') ||
    !['startedAt', 'finishedAt'].every((key) => !Number.isNaN(Date.parse(String(value[key])))) ||
    !(value['compression'] === 'gzip' || value['compression'] === 'zstd') ||
    typeof value['packing'] !== 'string' ||
    !isHex(value['sha256']) ||
    !counts.every((key) => isCount(value[key])) ||
    !isRecord(value['warnings']) ||
    !isCount(value['warnings']['count']) ||
    !Array.isArray(value['warnings']['samples'])
  ) {
    throw invalid(where, 'its summary is malformed, or a later version of km-backup wrote it');
  }
  return value as unknown as Summary;
}
