import koffi from 'koffi';
import { type RawPath, SystemError } from './system-error.ts';

/**
 * Calls are synchronous unless they take numbers only: koffi does not keep Buffers alive during asynchronous
 * calls. Sizes and offsets are off_t/size_t of 64-bit Linux; other systems are refused at the first call.
 */
const prototypes = {
  fcntl: 'int fcntl(int fd, int command, void *argument)',
  clock_gettime: 'int clock_gettime(int clock, void *time)',
  openat: 'int openat(int dir, const void *path, int flags, unsigned int mode)',
  readlinkat: 'int64_t readlinkat(int dir, const void *path, void *target, size_t size)',
  getdents64: 'int64_t getdents64(int fd, void *entries, size_t size)',
  // Variadic in C. On x64 and arm64 Linux, integers and pointers are passed alike either way.
  syscall: 'int64_t syscall(int64_t number, int64_t dir, const void *path, const void *how, size_t size)',
  flock: 'int flock(int fd, int operation)',
  renameat2: 'int renameat2(int fromDir, const void *from, int toDir, const void *to, unsigned int flags)',
  utimensat: 'int utimensat(int dir, const void *path, const void *times, int flags)',
  futimens: 'int futimens(int fd, const void *times)',
  fgetxattr: 'int64_t fgetxattr(int fd, const void *name, void *value, size_t size)',
  flistxattr: 'int64_t flistxattr(int fd, void *list, size_t size)',
  getxattr: 'int64_t getxattr(const void *path, const void *name, void *value, size_t size)',
  listxattr: 'int64_t listxattr(const void *path, void *list, size_t size)',
  lgetxattr: 'int64_t lgetxattr(const void *path, const void *name, void *value, size_t size)',
  llistxattr: 'int64_t llistxattr(const void *path, void *list, size_t size)',
  lsetxattr: 'int lsetxattr(const void *path, const void *name, const void *value, size_t size, int flags)',
  ioctl: 'int ioctl(int fd, unsigned long request, int argument)',
  lseek: 'int64_t lseek(int fd, int64_t offset, int whence)',
  copy_file_range:
    'int64_t copy_file_range(int from, void *fromOffset, int to, void *toOffset, size_t length, unsigned int flags)',
  mkfifo: 'int mkfifo(const void *path, unsigned int mode)',
  syncfs: 'int syncfs(int fd)',
  sync_file_range: 'int sync_file_range(int fd, int64_t offset, int64_t length, unsigned int flags)',
  statx: 'int statx(int dir, const void *path, int flags, unsigned int mask, void *answer)',
} as const;
type Name = keyof typeof prototypes;
type Argument = number | bigint | Uint8Array | null;
type Call = (...values: Argument[]) => number | bigint;

export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;

let library: ReturnType<typeof koffi.load> | undefined;
const bound = new Map<Name, Call>();

function load(): ReturnType<typeof koffi.load> {
  if (process.platform !== 'linux' || (process.arch !== 'x64' && process.arch !== 'arm64')) {
    throw new Error(`km-backup needs Linux on x64 or arm64, this is ${process.platform} on ${process.arch}`);
  }
  const musl = `libc.musl-${process.arch === 'x64' ? 'x86_64' : 'aarch64'}.so.1`;
  try {
    return koffi.load('libc.so.6');
  } catch {
    return koffi.load(musl);
  }
}

/** @returns The result, or the errno if that is negative. ENOSYS when libc lacks the function. */
export function tryCall(name: Name, ...values: Argument[]): { result: number } | { errno: number } {
  library ??= load();
  let call = bound.get(name);
  if (!call) {
    try {
      call = library.func(prototypes[name]) as Call;
    } catch (error) {
      if (!(error instanceof Error && /cannot find function/i.test(error.message))) throw error;
      return { errno: koffi.os.errno['ENOSYS']! };
    }
    bound.set(name, call);
  }
  for (;;) {
    const result = Number(call(...values));
    if (result >= 0) return { result };
    const errno = koffi.errno();
    if (errno !== koffi.os.errno['EINTR']) return { errno };
  }
}

/** As tryCall, but throws a SystemError that names `path`. */
export function call(name: Name, path: RawPath | undefined, ...values: Argument[]): number {
  const answer = tryCall(name, ...values);
  if ('errno' in answer) throw new SystemError(name, answer.errno, path);
  return answer.result;
}

/** Calls libc on another thread, so that signals and timers run meanwhile. Numbers only: see above. */
export function callInBackground(
  name: Name,
  path: RawPath | undefined,
  ...values: number[]
): Promise<number> {
  library ??= load();
  const call = library.func(prototypes[name]);
  return new Promise((resolve, reject) => {
    call.async(...values, (error: unknown, result: number) => {
      if (error) reject(error);
      else if (result >= 0) resolve(result);
      else reject(new SystemError(name, koffi.errno(), path));
    });
  });
}

/** The bytes of a path (or any C string), NUL-terminated. A NUL inside is refused as EINVAL. */
export function cString(path: RawPath): Buffer {
  const bytes = typeof path === 'string' ? Buffer.from(path, 'utf8') : path;
  if (bytes.includes(0)) throw new SystemError('path', koffi.os.errno['EINVAL']!, path);
  const terminated = Buffer.alloc(bytes.length + 1);
  terminated.set(bytes);
  return terminated;
}
