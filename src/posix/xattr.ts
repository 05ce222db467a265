import { call, cString, tryCall } from './libc.ts';
import { codeOf, type RawPath, SystemError } from './system-error.ts';

/** Extended attributes by name (`user.x`, `security.capability`, `system.posix_acl_access`…); symlinks are not followed. */
export type Xattrs = ReadonlyMap<string, Buffer>;

/** The names in the kernel's order; none where the file system has no attributes. Names are read as Latin-1. */
export function listXattrs(path: RawPath): string[] {
  const list = readGrowing('llistxattr', path, (buffer) => [cString(path), buffer, buffer.length]);
  return list === undefined ? [] : list.toString('latin1').split('\0').slice(0, -1);
}

/** The value, or undefined where the entry has no such attribute. */
export function getXattr(path: RawPath, name: string): Buffer | undefined {
  const encoded = cString(Buffer.from(name, 'latin1'));
  return readGrowing('lgetxattr', path, (buffer) => [cString(path), encoded, buffer, buffer.length]);
}

export function getXattrs(path: RawPath): Xattrs {
  const found = new Map<string, Buffer>();
  for (const name of listXattrs(path)) {
    const value = getXattr(path, name);
    if (value) found.set(name, value);
  }
  return found;
}

/** `unsupported`: the file system takes no such attribute; `forbidden`: this process may not set it. */
export function setXattr(
  path: RawPath,
  name: string,
  value: Uint8Array,
): 'done' | 'unsupported' | 'forbidden' {
  try {
    call('lsetxattr', path, cString(path), cString(Buffer.from(name, 'latin1')), value, value.length, 0);
    return 'done';
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOTSUP' || code === 'EOPNOTSUPP') return 'unsupported';
    if (code === 'EPERM' || code === 'EACCES') return 'forbidden';
    throw error;
  }
}

/** Room for what nearly all entries have. */
const common = Buffer.alloc(4096);

function readGrowing(
  name: 'llistxattr' | 'lgetxattr',
  path: RawPath,
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
