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
  describeContent,
  describeOpen,
  identityOf,
  READ_ATTEMPTS,
  readInto,
  readPacked,
  unchanged,
  withSource,
} from './source-file.ts';
import { type SourceXattrs, xattrsOfFile, xattrsOfOther } from './source-xattrs.ts';
import type { Found } from './walk.ts';
import { CHANGED_UNDER_READ, NOT_A_FILE_ANY_MORE, readWarning, type Warning } from './warning.ts';

/** One compressed member that has no place in the archive yet. */
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
  /** Paths of entries that could not be stored at all. */
  readonly dropped: readonly ByteString[];
  /** Paths of hard-linked files where a different file was stored than the one that was listed. */
  readonly replaced: readonly ByteString[];
  /** Paths of files that grew too large for a group after they were listed. They are not stored here. */
  readonly outgrown: readonly ByteString[];
}

export interface PackSettings {
  readonly compression: Compression;
  readonly level: number;
}

/**
 * @param start where the member will begin in the archive, if it is to end on a block boundary
 */
export function packRaw(raw: Uint8Array, { compression, level }: PackSettings, start?: number): PackedMember {
  const packed = compress(raw, compression, level);
  const padding = start === undefined ? 0 : paddingAt(start + packed.length);
  const data = withPadding(packed, compression, padding);
  return { data, rawSize: raw.length, sha256: sha256Hex(data) };
}

/** A regular file. The rest of its metadata is read from the file itself once it is open. */
export interface FileItem {
  readonly path: ByteString;
  readonly identity?: string | undefined;
}

export interface OtherItem {
  readonly entry: Entry;
}

export type GroupItem = FileItem | OtherItem;

export function groupItem({ entry, identity }: Found): GroupItem {
  return entry.type === 'file' ? { path: entry.path, identity } : { entry };
}

export interface GroupJob {
  /** Descriptor of the source directory: descriptors are open in the whole process, in every thread. */
  readonly root: number;
  readonly items: readonly GroupItem[];
  readonly settings: PackSettings;
}

/** Reads, frames, hashes and compresses whole entries. */
export function packGroup({ root, items, settings }: GroupJob): PackedGroup {
  const group = new Group(root);
  for (const item of items) group.add(item);
  return {
    ...packRaw(group.raw.bytes(), settings),
    lines: group.lines.join(''),
    entries: group.lines.length,
    files: group.files,
    sourceBytes: group.sourceBytes,
    warnings: group.warnings,
    dropped: group.dropped,
    replaced: group.replaced,
    outgrown: group.outgrown,
  };
}

/** Collects tar bytes. The buffer is reused from member to member. */
class Scratch {
  static #kept: Buffer<ArrayBuffer> = Buffer.alloc(0);
  length = 0;

  get buffer(): Buffer<ArrayBuffer> {
    return Scratch.#kept;
  }

  /** Makes room for `count` more bytes; their content is undefined. */
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
  readonly replaced: ByteString[] = [];
  readonly outgrown: ByteString[] = [];
  files = 0;
  sourceBytes = 0;
  readonly #root: number;

  constructor(root: number) {
    this.#root = root;
  }

  add(item: GroupItem): void {
    const path = 'entry' in item ? item.entry.path : item.path;
    const start = this.raw.length;
    try {
      if ('entry' in item) this.#addOther(item.entry);
      else withSource(this.#root, path, (fd) => this.#addFile(item, fd));
    } catch (error) {
      this.raw.length = start;
      this.#drop(readWarning(error, path));
    }
  }

  #addOther(entry: Entry): void {
    // A hard link has the attributes of its first name.
    const found = entry.type === 'hardlink' ? {} : xattrsOfOther(this.#root, entry);
    const whole = withXattrs(entry, found);
    this.raw.append(encodeHeader(whole));
    this.lines.push(encodeEntry(whole));
    this.#warnOfXattrs(entry.path, found);
  }

  #addFile({ path, identity }: FileItem, fd: number): void {
    const start = this.raw.length;
    for (let attempt = 1; ; attempt++) {
      this.raw.length = start;
      const now = describeOpen(path, fd);
      if (!now) {
        this.#drop({ kind: 'vanished', path, message: NOT_A_FILE_ANY_MORE });
        return;
      }
      if (now.entry.size > 2 * PART_BYTES) {
        this.outgrown.push(path);
        return;
      }
      const found = xattrsOfFile(fd, path);
      const entry = withXattrs(describeContent(now.entry, fd, now.status.blocks), found);
      const { complete, sha256 } = this.#content(entry, fd);
      const steady = complete && unchanged(now.status, fd);
      if (!steady && attempt < READ_ATTEMPTS) continue;
      if (!steady) this.warnings.push({ kind: 'changed', path, message: CHANGED_UNDER_READ });
      this.#warnOfXattrs(path, found);
      if (identity !== undefined && identity !== identityOf(now.status)) this.replaced.push(path);
      this.lines.push(encodeEntry({ ...entry, sha256, ...(steady ? {} : { inconsistent: true }) }));
      this.files++;
      this.sourceBytes += entry.size;
      return;
    }
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
      // Whether the file grew meanwhile shows in its status afterwards.
      const got = readInto(fd, buffer, at, size, 0);
      complete = got === size;
      buffer.fill(0, at + Math.min(got, size), at + room);
    }
    this.raw.length += room;
    const digest = contentDigest(entry, buffer.subarray(at, at + size));
    return { complete, sha256: digest };
  }

  #drop(warning: Warning): void {
    this.warnings.push(warning);
    this.dropped.push(warning.path);
  }

  #warnOfXattrs(path: ByteString, { problem }: SourceXattrs): void {
    if (problem !== undefined) this.warnings.push({ kind: 'xattrs', path, message: problem });
  }
}

export function withXattrs(entry: Entry, { xattrs }: SourceXattrs): Entry {
  return xattrs ? { ...entry, xattrs } : entry;
}
