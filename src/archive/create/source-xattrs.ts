import { closeSync, constants } from 'node:fs';
import { O_PATH, openBeneath } from '../../posix/beneath.ts';
import { statusOfOpen } from '../../posix/status.ts';
import { codeOf, isSystemError } from '../../posix/system-error.ts';
import { getXattrOf, getXattrOfPath, listXattrsOf, listXattrsOfPath } from '../../posix/xattr.ts';
import { type ByteString, display } from '../format/byte-string.ts';
import type { Entry } from '../format/entry.ts';

/** Extended attributes of one entry, ACLs among them (`system.posix_acl_*`). */
export interface SourceXattrs {
  /** Name to base64 of the value, sorted by name; undefined if there are none. */
  readonly xattrs?: Readonly<Record<string, string>> | undefined;
  /** What is not stored, and why: for a warning. */
  readonly problem?: string | undefined;
}

/** Attributes that describe the node rather than the data. The system that restores sets its own. */
const notStored = new Set(['security.selinux', 'security.ima', 'security.evm']);

/**
 * bsdtar and node-tar refuse or ignore an extended header of more than 1 MiB, and with it the entry's name. The
 * rest is for records other than attributes.
 */
const MAX_ATTRIBUTE_BYTES = 1024 * 1024 - 64 * 1024;

/** Bytes of a pax record besides key and value: its length, the prefix of the key, separators. */
const RECORD_OVERHEAD = 32;

const none: SourceXattrs = {};

/** Of a regular file that is open for reading. */
export function xattrsOfFile(fd: number, path: ByteString): SourceXattrs {
  return collect(
    path,
    () => listXattrsOf(fd),
    (name) => getXattrOf(fd, name),
  );
}

/**
 * Of everything but a regular file, without opening it for reading.
 * @throws {SystemError} when it cannot be found any more
 */
export function xattrsOfOther(root: number, { path, ino }: Entry): SourceXattrs {
  const fd = openBeneath(root, path, O_PATH | constants.O_NOFOLLOW);
  try {
    if (statusOfOpen(fd).ino !== ino) {
      return { problem: 'was replaced after it was listed; extended attributes are not stored' };
    }
    return collect(
      path,
      () => listXattrsOfPath(fd),
      (name) => getXattrOfPath(fd, name),
    );
  } finally {
    closeSync(fd);
  }
}

function collect(
  path: ByteString,
  list: () => string[],
  read: (name: string) => Buffer | undefined,
): SourceXattrs {
  try {
    const names = list();
    return names.length === 0 ? none : readAll(path, names, read);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return { problem: `extended attributes cannot be read (${codeOf(error)}) and are not stored` };
  }
}

function readAll(
  path: ByteString,
  names: readonly string[],
  read: (name: string) => Buffer | undefined,
): SourceXattrs {
  const found: { name: string; value: Buffer; size: number }[] = [];
  for (const name of names) {
    const value = notStored.has(name) ? undefined : read(name);
    if (value) found.push({ name, value, size: RECORD_OVERHEAD + 3 * name.length + value.length });
  }
  if (found.length === 0) return none;
  const room = MAX_ATTRIBUTE_BYTES - path.length;
  const kept = fitting(found, room);
  const left = found.filter((each) => !kept.includes(each));
  const sorted = kept.sort((a, b) => (a.name < b.name ? -1 : 1));
  return {
    xattrs:
      kept.length === 0
        ? undefined
        : Object.fromEntries(sorted.map(({ name, value }) => [name, value.toString('base64')])),
    problem:
      left.length === 0
        ? undefined
        : `${left.length} extended attribute(s) are not stored, because a header of more than 1 MiB is one that tar programs refuse: ${display(left[0]!.name as ByteString, 80)} (${left[0]!.value.length} bytes)${left.length > 1 ? ', …' : ''}`,
  };
}

/** The smallest first, so that a huge one cannot displace an ACL. */
function fitting<T extends { readonly size: number }>(found: readonly T[], room: number): T[] {
  let left = room;
  return [...found]
    .sort((a, b) => a.size - b.size)
    .filter(({ size }) => {
      left -= size;
      return left >= 0;
    });
}
