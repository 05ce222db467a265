import { getSystemErrorMap } from 'node:util';

/** A path as the kernel takes it: text is encoded in UTF-8, other names are given as their bytes. */
export type RawPath = string | Uint8Array;

/** A failed system call. `code` is the errno's name (`ENOENT`…), as in Node's own errors. */
export class SystemError extends Error {
  override readonly name = 'SystemError';
  readonly code: string;
  /** Positive errno. */
  readonly errno: number;
  readonly syscall: string;
  readonly path: RawPath | undefined;

  constructor(syscall: string, errno: number, path?: RawPath) {
    const [code, text] = getSystemErrorMap().get(-errno) ?? [`E${errno}`, 'unknown error'];
    super(`${code}: ${text}, ${syscall}${path === undefined ? '' : ` '${printable(path)}'`}`);
    this.code = code;
    this.errno = errno;
    this.syscall = syscall;
    this.path = path;
  }
}

/** The errno name of any system error, Node's or ours; undefined for everything else. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

function printable(path: RawPath): string {
  const text = typeof path === 'string' ? path : Buffer.from(path).toString('utf8');
  return text.replace(/\p{Cc}/gu, (control) => `\\x${control.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
