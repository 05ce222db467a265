import type { ByteString } from './byte-string.ts';

export type EntryType = 'file' | 'directory' | 'symlink' | 'hardlink' | 'fifo' | 'character' | 'block';

/** A range of data in a sparse file: [offset, length]. */
export type Extent = readonly [offset: number, length: number];

export interface Entry {
  /** Relative to the archive's root, without `./` or a trailing slash; '' is the root itself. */
  readonly path: ByteString;
  readonly type: EntryType;
  /** Permission bits, at most 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of a regular file's content (holes included); 0 for everything else. */
  readonly size: number;
  /** Nanoseconds since the epoch, decimal (may be negative). */
  readonly mtime: string;
  readonly ctime: string;
  /** Inode number, decimal. */
  readonly ino: string;
  /** A symlink's text; a hardlink's earlier path within the archive. */
  readonly link?: ByteString;
  /** Hex digest of a file's content. A file split over `part` members has none: its parts have theirs. */
  readonly sha256?: string;
  /** Number of `part` members that follow the member with this entry's header. */
  readonly parts?: number;
  /** The ranges of a sparse file that hold data. The rest are holes. */
  readonly extents?: readonly Extent[];
  /** Extended attributes (ACLs among them): name to base64 of the value. */
  readonly xattrs?: Readonly<Record<string, string>>;
  /** Major and minor number of a device. */
  readonly device?: readonly [major: number, minor: number];
  /** The content changed under every read: what is stored may mix states, and is padded or cut to `size`. */
  readonly inconsistent?: true;
}

/** Bytes of a file that are not holes. */
export function dataBytes(entry: Entry): number {
  return entry.extents ? entry.extents.reduce((sum, [, length]) => sum + length, 0) : entry.size;
}
