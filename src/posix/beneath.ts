import { closeSync, constants } from 'node:fs';
import { AT_FDCWD, tryCall } from './libc.ts';
import { pathBytes } from './path-bytes.ts';
import { SystemError } from './system-error.ts';

/** Names a file without opening it; no permission on the file itself is needed. */
export const O_PATH = 0o10000000;
const O_CLOEXEC = 0o2000000;

/** Symlinks on the way: `refuse` them all, or follow those that stay `inside` the directory. */
export type LinksOnTheWay = 'refuse' | 'inside';

const RESOLVE_NO_MAGICLINKS = 0x02;
const RESOLVE_NO_SYMLINKS = 0x04;
const RESOLVE_BENEATH = 0x08;
const resolveFlags: Record<LinksOnTheWay, number> = {
  refuse: RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
  inside: RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
};

/** The same on x64 and arm64. */
const SYS_OPENAT2 = 437;
const PATH_MAX = 4096;

/** struct open_how: flags, mode, resolve. One for all calls, which are synchronous. */
const how = new BigUint64Array(3);
const howBytes = new Uint8Array(how.buffer);

let hasOpenat2: boolean | undefined;

/** Opens a directory for reading; a symlink as its last component is followed. */
export function openDirectory(path: string): number {
  return openAt(AT_FDCWD, path, constants.O_RDONLY | constants.O_DIRECTORY);
}

/** Opens one name in an open directory. Without `O_NOFOLLOW` in `flags` a symlink of that name is followed. */
export function openAt(directory: number, name: string, flags: number): number {
  const answer = tryCall('openat', directory, pathBytes(name), flags | O_CLOEXEC, 0);
  if ('errno' in answer) throw new SystemError('openat', answer.errno, Buffer.from(name, 'latin1'));
  return answer.result;
}

/**
 * Opens a relative path below an open directory, safe against concurrent renames. The path may be longer than one
 * system call takes.
 * @param path One character for each byte; '' is the directory itself.
 * @throws {SystemError} ELOOP when a symlink is on the way, EXDEV when the path leads out of the directory.
 */
export function openBeneath(
  directory: number,
  path: string,
  flags: number,
  links: LinksOnTheWay = 'refuse',
): number {
  let base = directory;
  let rest = path;
  try {
    while (rest.length >= PATH_MAX) {
      const cut = rest.lastIndexOf('/', PATH_MAX - 1);
      const next = openShort(base, rest.slice(0, cut), O_PATH | constants.O_DIRECTORY, links);
      if (base !== directory) closeSync(base);
      base = next;
      rest = rest.slice(cut + 1);
    }
    return openShort(base, rest, flags, links);
  } finally {
    if (base !== directory) closeSync(base);
  }
}

function openShort(directory: number, path: string, flags: number, links: LinksOnTheWay): number {
  hasOpenat2 ??= probe();
  return hasOpenat2
    ? openat2(directory, path, flags, links)
    : openByComponents(directory, path, flags | constants.O_NOFOLLOW);
}

function openat2(directory: number, path: string, flags: number, links: LinksOnTheWay): number {
  how[0] = BigInt(flags | O_CLOEXEC);
  how[2] = BigInt(resolveFlags[links]);
  for (;;) {
    const bytes = pathBytes(path === '' ? '.' : path);
    const answer = tryCall('syscall', SYS_OPENAT2, directory, bytes, howBytes, howBytes.length);
    if ('result' in answer) return answer.result;
    const error = new SystemError('openat2', answer.errno, Buffer.from(path, 'latin1'));
    // A rename somewhere in the system came in between.
    if (error.code !== 'EAGAIN') throw error;
  }
}

/** Linux before 5.6 lacks openat2, and so do some sandboxes; old seccomp profiles answer EPERM. */
function probe(): boolean {
  how[0] = BigInt(O_PATH | O_CLOEXEC);
  how[2] = 0n;
  const answer = tryCall('syscall', SYS_OPENAT2, AT_FDCWD, pathBytes('/'), howBytes, howBytes.length);
  if ('errno' in answer) return false;
  closeSync(answer.result);
  return true;
}

/** Like openBeneath, without openat2. Refuses every symlink; one on the way gives ENOTDIR. */
export function openByComponents(directory: number, path: string, flags: number): number {
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  const last = names.pop() ?? '.';
  let base = directory;
  try {
    for (const name of names) {
      const next = openComponent(base, name, O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW);
      if (base !== directory) closeSync(base);
      base = next;
    }
    return openComponent(base, last, flags);
  } finally {
    if (base !== directory) closeSync(base);
  }
}

const EXDEV = 18;

function openComponent(directory: number, name: string, flags: number): number {
  if (name === '..') throw new SystemError('openat', EXDEV, Buffer.from(name, 'latin1'));
  return openAt(directory, name, flags);
}
