import { AT_FDCWD, AT_SYMLINK_NOFOLLOW, tryCall } from './libc.ts';
import { pathBytes } from './path-bytes.ts';
import { SystemError } from './system-error.ts';

/** The result of statx(2). Node's Stats lose nanoseconds, or cost 18 BigInts each. */
export interface FileStatus {
  /** Type and permission bits. */
  readonly mode: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  /** Decimal. */
  readonly ino: string;
  /** The low 31 bits of the inode number: enough to tell entries of one directory apart. */
  readonly inodeTag: number;
  readonly size: number;
  /** 512-byte units allocated. */
  readonly blocks: number;
  /** Nanoseconds since the epoch, decimal (may be negative). */
  readonly mtime: string;
  readonly ctime: string;
  /**
   * Birth time in nanoseconds since the epoch, to within 256; undefined where the file system keeps none. Tells an
   * inode from a later one with the same number.
   */
  readonly born: number | undefined;
  /** Device of the file system, `major:minor`. */
  readonly device: string;
  /** The device that a device file represents. */
  readonly node: readonly [major: number, minor: number];
}

const AT_EMPTY_PATH = 0x1000;
const STATX_CTIME = 0x80;
const STATX_BTIME = 0x800;
const WANTED = 0x7ff | STATX_BTIME;
const ENOENT = 2;

/** struct statx. Plain words and not a DataView: the machine is little-endian, and this compiles in half the time. */
const answer = new Uint32Array(64);
const answerBytes = new Uint8Array(answer.buffer);
const answerShorts = new Uint16Array(answer.buffer);

/** Offsets in `answer`, in words of four bytes. */
const AT = {
  mask: 0,
  attributes: 2,
  links: 4,
  uid: 5,
  gid: 6,
  ino: 8,
  size: 10,
  blocks: 12,
  born: 20,
  ctime: 24,
  mtime: 28,
  node: 32,
  device: 34,
} as const;
const MODE_AT = 14;

const empty = Buffer.alloc(1);

/**
 * Status of a file. Symlinks are not followed.
 *
 * @param path One character per byte.
 * @returns Undefined if the file does not exist.
 */
export function statusOf(path: string): FileStatus | undefined {
  return statusAt(AT_FDCWD, path);
}

/** As statusOf, for a path relative to an open directory. */
export function statusAt(directory: number, path: string): FileStatus | undefined {
  const call = tryCall('statx', directory, pathBytes(path), AT_SYMLINK_NOFOLLOW, WANTED, answerBytes);
  if ('result' in call) return decode();
  if (call.errno === ENOENT) return undefined;
  throw new SystemError('statx', call.errno, Buffer.from(path, 'latin1'));
}

/**
 * Change time in nanoseconds since the epoch, to within 512: enough to see whether it is still the same. Undefined
 * when it cannot be found out.
 * @param path NUL-terminated; '' is the directory itself
 */
export function changeTimeAt(directory: number, path: Uint8Array): number | undefined {
  const flags = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;
  const call = tryCall('statx', directory, path, flags, STATX_CTIME, answerBytes);
  return 'result' in call ? floating(AT.ctime) : undefined;
}

/** Attributes that forbid changes even to the owner and to root, and whether something is mounted on the file. */
export interface FileAttributes {
  /** Set by `chattr +i`. */
  readonly immutable: boolean;
  /** Set by `chattr +a`. */
  readonly appendOnly: boolean;
  readonly mountPoint: boolean;
}

/**
 * Attributes of a file, all false when it does not exist or the file system does not report them.
 *
 * @param path One character per byte. Symlinks are not followed.
 */
export function attributesOf(path: string): FileAttributes {
  const attributes = statusOf(path) === undefined ? 0 : answer[AT.attributes]!;
  return {
    immutable: (attributes & 0x10) !== 0,
    appendOnly: (attributes & 0x20) !== 0,
    mountPoint: (attributes & 0x2000) !== 0,
  };
}

export function statusOfOpen(fd: number): FileStatus {
  const call = tryCall('statx', fd, empty, AT_EMPTY_PATH, WANTED, answerBytes);
  if ('errno' in call) throw new SystemError('statx', call.errno);
  return decode();
}

function decode(): FileStatus {
  return {
    mode: answerShorts[MODE_AT]!,
    links: answer[AT.links]!,
    uid: answer[AT.uid]!,
    gid: answer[AT.gid]!,
    ino: decimal(AT.ino),
    inodeTag: answer[AT.ino]! & 0x7fffffff,
    size: unsigned(AT.size),
    blocks: unsigned(AT.blocks),
    ctime: nanoseconds(AT.ctime),
    mtime: nanoseconds(AT.mtime),
    born: answer[AT.mask]! & STATX_BTIME ? floating(AT.born) : undefined,
    device: deviceAt(AT.device),
    node: [answer[AT.node]!, answer[AT.node + 1]!],
  };
}

/** Not exact beyond 2^53. */
function unsigned(at: number): number {
  return answer[at + 1]! * 2 ** 32 + answer[at]!;
}

function signed(at: number): number {
  return (answer[at + 1]! | 0) * 2 ** 32 + answer[at]!;
}

function decimal(at: number): string {
  const value = unsigned(at);
  return Number.isSafeInteger(value) ? `${value}` : exact(at).toString();
}

/** The device seen last: the next file is nearly always on the same one. */
let device = { major: -1, minor: -1, text: '' };

function deviceAt(at: number): string {
  const major = answer[at]!;
  const minor = answer[at + 1]!;
  if (device.major !== major || device.minor !== minor) device = { major, minor, text: `${major}:${minor}` };
  return device.text;
}

function nanoseconds(at: number): string {
  const seconds = signed(at);
  const fraction = answer[at + 2]!;
  if (seconds > 0 && Number.isSafeInteger(seconds)) return `${seconds}${String(fraction).padStart(9, '0')}`;
  return (BigInt.asIntN(64, exact(at)) * 1_000_000_000n + BigInt(fraction)).toString();
}

function floating(at: number): number {
  return signed(at) * 1e9 + answer[at + 2]!;
}

function exact(at: number): bigint {
  return (BigInt(answer[at + 1]!) << 32n) | BigInt(answer[at]!);
}
