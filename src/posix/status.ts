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

const answer = new DataView(new ArrayBuffer(256));
const answerBytes = new Uint8Array(answer.buffer);
const empty = Buffer.alloc(1);

/**
 * Status of a file. Symlinks are not followed.
 *
 * @param path One character per byte.
 * @returns Undefined when there is no such file.
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
 */
export function changeTimeAt(directory: number, path: string): number | undefined {
  const call = tryCall('statx', directory, pathBytes(path), AT_SYMLINK_NOFOLLOW, STATX_CTIME, answerBytes);
  return 'result' in call ? signed(96) * 1e9 + answer.getUint32(104, true) : undefined;
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
  const attributes = statusOf(path) === undefined ? 0 : answer.getUint32(8, true);
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
    mode: answer.getUint16(28, true),
    links: answer.getUint32(16, true),
    uid: answer.getUint32(20, true),
    gid: answer.getUint32(24, true),
    ino: decimal(32),
    size: unsigned(40),
    blocks: unsigned(48),
    ctime: nanoseconds(96),
    mtime: nanoseconds(112),
    born: answer.getUint32(0, true) & STATX_BTIME ? signed(80) * 1e9 + answer.getUint32(88, true) : undefined,
    device: deviceAt(136),
    node: [answer.getUint32(128, true), answer.getUint32(132, true)],
  };
}

/** Not exact beyond 2^53. */
function unsigned(at: number): number {
  return answer.getUint32(at + 4, true) * 2 ** 32 + answer.getUint32(at, true);
}

function signed(at: number): number {
  return answer.getInt32(at + 4, true) * 2 ** 32 + answer.getUint32(at, true);
}

function decimal(at: number): string {
  const value = unsigned(at);
  return Number.isSafeInteger(value) ? `${value}` : answer.getBigUint64(at, true).toString();
}

/** The device seen last: the next file is nearly always on the same one. */
let device = { major: -1, minor: -1, text: '' };

function deviceAt(at: number): string {
  const major = answer.getUint32(at, true);
  const minor = answer.getUint32(at + 4, true);
  if (device.major !== major || device.minor !== minor) device = { major, minor, text: `${major}:${minor}` };
  return device.text;
}

function nanoseconds(at: number): string {
  const seconds = signed(at);
  const fraction = answer.getUint32(at + 8, true);
  if (seconds > 0 && Number.isSafeInteger(seconds)) return `${seconds}${String(fraction).padStart(9, '0')}`;
  return (answer.getBigInt64(at, true) * 1_000_000_000n + BigInt(fraction)).toString();
}
