import type { ByteString } from '../format/byte-string.ts';
import type { Entry, EntryType } from '../format/entry.ts';
import { MAX_MEMBER_BYTES } from '../format/manifest.ts';

/** A file or directory as `encodeEntry` writes most of them: with a name that needs no escapes, without extras. */
const PLAIN =
  /^\{"path":"([\x20\x21\x23-\x5b\x5d-\x7e]*)","type":"(file|directory)","mode":(0|[1-9]\d{0,3}),"uid":(0|[1-9]\d{0,14}),"gid":(0|[1-9]\d{0,14}),"size":(0|[1-9]\d{0,14}),"mtime":"(-?\d{1,28})","ctime":"(-?\d{1,28})","ino":"(-?\d{1,20})"(?:,"sha256":"([0-9a-f]{64})")?\}$/;

const MAX_MODE = 0o7777;

/**
 * Parses a line as `parseEntryLine` does, in a third of the time.
 * @returns An entry whose strings keep the whole line in memory: to look at, not to collect. Undefined if the line is of
 *   another kind, or malformed.
 */
export function parsePlainLine(line: string): Entry | undefined {
  const found = PLAIN.exec(line);
  if (!found) return undefined;
  const mode = Number(found[3]);
  const size = Number(found[6]);
  const sha256 = found[10];
  if (mode > MAX_MODE || (sha256 !== undefined && size > MAX_MEMBER_BYTES)) return undefined;
  const path = found[1] as ByteString;
  const type = found[2] as EntryType;
  const [uid, gid] = [Number(found[4]), Number(found[5])];
  const [mtime, ctime, ino] = [found[7]!, found[8]!, found[9]!];
  return sha256 === undefined
    ? { path, type, mode, uid, gid, size, mtime, ctime, ino }
    : { path, type, mode, uid, gid, size, mtime, ctime, ino, sha256 };
}
