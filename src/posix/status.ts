import { AT_FDCWD, AT_SYMLINK_NOFOLLOW, tryCall } from './libc.ts';
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
  /** Device of the file system, `major:minor`. */
  readonly device: string;
  /** The device that a device file represents. */
  readonly node: readonly [major: number, minor: number];
}

const AT_EMPTY_PATH = 0x1000;
const STATX_BASIC_STATS = 0x7ff;
const ENOENT = 2;

const answer = new DataView(new ArrayBuffer(256));
const answerBytes = new Uint8Array(answer.buffer);
const empty = Buffer.alloc(1);
let name = Buffer.alloc(4096);

/**
 * Status of a file. Symlinks are not followed.
 *
 * @param path One character per byte.
 * @returns Undefined when there is no such file.
 */
export function statusOf(path: string): FileStatus | undefined {
  if (path.length >= name.length) name = Buffer.alloc(path.length + 1);
  name[name.write(path, 0, 'latin1')] = 0;
  const call = tryCall('statx', AT_FDCWD, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, answerBytes);
  if ('result' in call) return decode();
  if (call.errno === ENOENT) return undefined;
  throw new SystemError('statx', call.errno, Buffer.from(path, 'latin1'));
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
  const call = tryCall('statx', fd, empty, AT_EMPTY_PATH, STATX_BASIC_STATS, answerBytes);
  if ('errno' in call) throw new SystemError('statx', call.errno);
  return decode();
}

function decode(): FileStatus {
  return {
    mode: answer.getUint16(28, true),
    links: answer.getUint32(16, true),
    uid: answer.getUint32(20, true),
    gid: answer.getUint32(24, true),
    ino: answer.getBigUint64(32, true).toString(),
    size: Number(answer.getBigUint64(40, true)),
    blocks: Number(answer.getBigUint64(48, true)),
    ctime: nanoseconds(96),
    mtime: nanoseconds(112),
    device: `${answer.getUint32(136, true)}:${answer.getUint32(140, true)}`,
    node: [answer.getUint32(128, true), answer.getUint32(132, true)],
  };
}

function nanoseconds(at: number): string {
  const seconds = answer.getInt32(at + 4, true) * 2 ** 32 + answer.getUint32(at, true);
  const fraction = answer.getUint32(at + 8, true);
  if (!Number.isSafeInteger(seconds)) {
    return (answer.getBigInt64(at, true) * 1_000_000_000n + BigInt(fraction)).toString();
  }
  if (seconds > 0) return `${seconds}${String(fraction).padStart(9, '0')}`;
  return (BigInt(seconds) * 1_000_000_000n + BigInt(fraction)).toString();
}
