import fs from 'node:fs';
import { call, cString, tryCall } from './libc.ts';
import { codeOf, type RawPath, SystemError } from './system-error.ts';

/** Extended attributes by name (`user.x`, `security.capability`, `system.posix_acl_access`…). Symlinks are not followed. */
export type Xattrs = ReadonlyMap<string, Buffer>;

/** Names in the kernel's order, read as Latin-1. Empty when the file system has no attributes. */
export function listXattrs(path: RawPath): string[] {
  const bytes = cString(path);
  return namesOf(readGrowing('llistxattr', path, (buffer) => [bytes, buffer, buffer.length]));
}

/** As listXattrs, of a file that is open for reading. */
export function listXattrsOf(fd: number): string[] {
  return namesOf(readGrowing('flistxattr', undefined, (buffer) => [fd, buffer, buffer.length]));
}

/** As listXattrs, of the file that is open with O_PATH, which may be a symlink. */
export function listXattrsOfPath(fd: number): string[] {
  const bytes = cString(descriptorPath(fd));
  return namesOf(readGrowing('listxattr', undefined, (buffer) => [bytes, buffer, buffer.length]));
}

/** The kernel follows this to the open file and no further; it has no calls of xattrs for O_PATH. */
function descriptorPath(fd: number): string {
  return `/proc/self/fd/${fd}`;
}

function namesOf(list: Buffer | undefined): string[] {
  return list === undefined || list.length === 0 ? [] : list.toString('latin1').split('\0').slice(0, -1);
}

/** @returns Undefined when the entry has no such attribute. */
export function getXattr(path: RawPath, name: string): Buffer | undefined {
  const bytes = cString(path);
  const encoded = cString(Buffer.from(name, 'latin1'));
  return readGrowing('lgetxattr', path, (buffer) => [bytes, encoded, buffer, buffer.length]);
}

/** As getXattr, of a file that is open for reading. */
export function getXattrOf(fd: number, name: string): Buffer | undefined {
  const encoded = cString(Buffer.from(name, 'latin1'));
  return readGrowing('fgetxattr', undefined, (buffer) => [fd, encoded, buffer, buffer.length]);
}

/** As getXattr, of a file that is open with O_PATH. */
export function getXattrOfPath(fd: number, name: string): Buffer | undefined {
  const bytes = cString(descriptorPath(fd));
  const encoded = cString(Buffer.from(name, 'latin1'));
  return readGrowing('getxattr', undefined, (buffer) => [bytes, encoded, buffer, buffer.length]);
}

export function getXattrs(path: RawPath): Xattrs {
  const found = new Map<string, Buffer>();
  for (const name of listXattrs(path)) {
    const value = getXattr(path, name);
    if (value) found.set(name, value);
  }
  return found;
}

/** Errors that concern the file or its file system, rather than one attribute. */
const fatalCodes: ReadonlySet<string> = new Set([
  'EIO',
  'EROFS',
  'ENOENT',
  'ENOTDIR',
  'ELOOP',
  'ESTALE',
  'EUCLEAN',
  'EDQUOT',
  'ENOMEM',
]);
/** Below this, ENOSPC means that the disk is full and not that the attribute is too large. */
const FULL_BELOW_BYTES = 1024 * 1024;

/**
 * Sets one attribute of the entry itself (a symlink is not followed).
 *
 * @returns `refused` with the errno's name when the file system or this process's rights do not allow this
 *   attribute: its name, its value or its size.
 * @throws A system error when the file cannot be changed at all (EIO, EROFS, a full disk).
 */
export function setXattr(
  path: RawPath,
  name: string,
  value: Uint8Array,
): 'done' | { readonly refused: string } {
  try {
    call('lsetxattr', path, cString(path), cString(Buffer.from(name, 'latin1')), value, value.length, 0);
    return 'done';
  } catch (error) {
    const code = codeOf(error);
    if (code === undefined || fatalCodes.has(code)) throw error;
    if (code === 'ENOSPC' && isFull(path)) throw error;
    return { refused: code };
  }
}

/** Of the file system that holds a path: its directory is asked, because the entry may be a dangling symlink. */
function isFull(path: RawPath): boolean {
  const bytes = Buffer.from(path);
  const directory = bytes.subarray(0, Math.max(1, bytes.lastIndexOf('/')));
  const { blocks, bavail, bsize } = fs.statfsSync(directory);
  return blocks > 0 && bavail * bsize < FULL_BELOW_BYTES;
}

/** Large enough for nearly all entries. */
const common = Buffer.alloc(4096);

function readGrowing(
  name: `${'l' | 'f' | ''}${'list' | 'get'}xattr`,
  path: RawPath | undefined,
  values: (buffer: Buffer) => (number | Uint8Array)[],
): Buffer | undefined {
  for (let size = common.length; ; size *= 8) {
    const buffer = size === common.length ? common : Buffer.alloc(size);
    const answer = tryCall(name, ...values(buffer));
    if ('result' in answer) return Buffer.from(buffer.subarray(0, answer.result));
    const error = new SystemError(name, answer.errno, path);
    if (error.code === 'ENODATA' || error.code === 'ENOTSUP' || error.code === 'EOPNOTSUPP') return undefined;
    // The kernel's own limit is 64 KiB; a few network file systems allow more.
    if (error.code !== 'ERANGE' || size >= 16 * 1024 * 1024) throw error;
  }
}
