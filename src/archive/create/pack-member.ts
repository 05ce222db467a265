import { paddingAt, withPadding } from '../format/alignment.ts';
import type { ByteString } from '../format/byte-string.ts';
import { compress } from '../format/compress.ts';
import { contentDigest } from '../format/content-digest.ts';
import type { Entry } from '../format/entry.ts';
import { encodeEntry } from '../format/entry-line.ts';
import { sha256Hex } from '../format/members.ts';
import type { Compression } from '../format/names.ts';
import { encodeHeader, packedSize, padded } from '../format/tar-header.ts';
import { PART_BYTES } from './chunker.ts';
import {
  describeOpen,
  READ_ATTEMPTS,
  readInto,
  readPacked,
  sparseExtents,
  storedXattrs,
  unchanged,
  withSource,
} from './source-file.ts';
import { type Found, readWarning, type Warning } from './walk.ts';

/** One compressed member, still without its place in the archive. */
export interface PackedMember {
  readonly data: Uint8Array<ArrayBuffer>;
  readonly rawSize: number;
  readonly sha256: string;
}

export interface PackedGroup extends PackedMember {
  readonly lines: string;
  readonly entries: number;
  readonly files: number;
  readonly sourceBytes: number;
  readonly warnings: readonly Warning[];
  /** Paths of the entries that could not be stored at all. */
  readonly dropped: readonly ByteString[];
  /** Files that grew too large for a group since they were listed; not stored here. */
  readonly outgrown: readonly Found[];
}

export interface PackSettings {
  readonly compression: Compression;
  readonly level: number;
}

/** `start`: where the member will begin in the archive, if it is to end on a block's end. */
export function packRaw(raw: Uint8Array, { compression, level }: PackSettings, start?: number): PackedMember {
  const packed = compress(raw, compression, level);
  const padding = start === undefined ? 0 : paddingAt(start + packed.length);
  const data = withPadding(packed, compression, padding);
  return { data, rawSize: raw.length, sha256: sha256Hex(data) };
}

/** A regular file, of which the rest is told by the file itself when it is opened. */
export interface FileItem {
  readonly path: ByteString;
  readonly location: ByteString;
}

export type GroupItem = FileItem | Found;

export function groupItem(found: Found): GroupItem {
  const { entry, location } = found;
  return entry.type === 'file' ? { path: entry.path, location } : found;
}

export interface GroupJob {
  readonly items: readonly GroupItem[];
  readonly settings: PackSettings;
}

/** Reads, frames, hashes and compresses whole entries. */
export function packGroup({ items, settings }: GroupJob): PackedGroup {
  const group = new Group();
  for (const item of items) group.add(item);
  const raw = group.raw.bytes();
  return {
    ...packRaw(raw, settings),
    lines: group.lines.join(''),
    entries: group.lines.length,
    files: group.files,
    sourceBytes: group.sourceBytes,
    warnings: group.warnings,
    dropped: group.dropped,
    outgrown: group.outgrown,
  };
}

/** Tar bytes in the making; the buffer is kept from one member to the next. */
class Scratch {
  static #kept: Buffer<ArrayBuffer> = Buffer.alloc(0);
  length = 0;

  get buffer(): Buffer<ArrayBuffer> {
    return Scratch.#kept;
  }

  /** Room for `count` more bytes; their content is undefined. */
  reserve(count: number): void {
    if (this.length + count <= this.buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(1 << 20, 2 * this.buffer.length, this.length + count));
    this.buffer.copy(larger, 0, 0, this.length);
    Scratch.#kept = larger;
  }

  append(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.buffer.set(bytes, this.length);
    this.length += bytes.length;
  }

  bytes(): Buffer<ArrayBuffer> {
    return this.buffer.subarray(0, this.length);
  }
}

class Group {
  readonly raw = new Scratch();
  readonly lines: string[] = [];
  readonly warnings: Warning[] = [];
  readonly dropped: ByteString[] = [];
  readonly outgrown: Found[] = [];
  files = 0;
  sourceBytes = 0;

  add(item: GroupItem): void {
    const path = 'entry' in item ? item.entry.path : item.path;
    const start = this.raw.length;
    try {
      if ('entry' in item) this.#store(this.#withXattrs(item.location, item.entry));
      else this.#addFile(item);
    } catch (error) {
      this.raw.length = start;
      this.warnings.push(readWarning(error, path));
      this.dropped.push(path);
    }
  }

  #addFile({ path, location }: FileItem): void {
    withSource(location, (fd) => {
      const start = this.raw.length;
      for (let attempt = 1; ; attempt++) {
        this.raw.length = start;
        const now = describeOpen(path, fd);
        if (!now) {
          this.warnings.push({
            kind: 'vanished',
            path,
            message: 'was replaced by something that is no file',
          });
          this.dropped.push(path);
          return;
        }
        if (now.entry.size > 2 * PART_BYTES) {
          this.outgrown.push({ entry: now.entry, location });
          return;
        }
        const entry = this.#withXattrs(location, describeContent(now.entry, fd, now.status.blocks));
        const { complete, sha256 } = this.#content(entry, fd);
        const steady = complete && unchanged(now.status, fd);
        if (!steady && attempt < READ_ATTEMPTS) continue;
        if (!steady) {
          this.warnings.push({
            kind: 'changed',
            path,
            message: 'changed under every read; the stored content may mix states',
          });
        }
        this.lines.push(encodeEntry({ ...entry, sha256, ...(steady ? {} : { inconsistent: true }) }));
        this.files++;
        this.sourceBytes += entry.size;
        return;
      }
    });
  }

  /** Header, content and padding. */
  #content(entry: Entry, fd: number): { complete: boolean; sha256: string } {
    const header = encodeHeader(entry);
    const size = packedSize(entry);
    const room = padded(size);
    this.raw.append(header);
    this.raw.reserve(room);
    const at = this.raw.length;
    const { buffer } = this.raw;
    let complete: boolean;
    if (entry.extents) {
      buffer.fill(0, at, at + room);
      complete = readPacked(fd, entry, buffer, at, 0, size);
    } else {
      // A file that grew meanwhile is told by its status afterwards.
      const got = readInto(fd, buffer, at, size, 0);
      complete = got === size;
      buffer.fill(0, at + Math.min(got, size), at + room);
    }
    this.raw.length += room;
    const digest = contentDigest(entry, buffer.subarray(at, at + size));
    return { complete, sha256: digest };
  }

  #store(entry: Entry): void {
    this.raw.append(encodeHeader(entry));
    this.lines.push(encodeEntry(entry));
  }

  #withXattrs(location: ByteString, entry: Entry): Entry {
    if (entry.type === 'hardlink') return entry;
    const xattrs = storedXattrs(location);
    return xattrs ? { ...entry, xattrs } : entry;
  }
}

/** The entry with its extents, where it is sparse. */
export function describeContent(entry: Entry, fd: number, blocks: number): Entry {
  const extents = sparseExtents(fd, entry.size, blocks);
  return extents ? { ...entry, extents } : entry;
}
