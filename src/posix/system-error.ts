import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';
import { printable } from '../log/printable.ts';

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
    const [code, text] = getSystemErrorMap().get(-errno) ?? [nameOf(errno), 'it failed'];
    super(`${code}: ${text}, ${syscall}${path === undefined ? '' : ` '${printable(path)}'`}`);
    this.code = code;
    this.errno = errno;
    this.syscall = syscall;
    this.path = path;
  }
}

/** The errno name of any system error, Node's or ours; undefined for everything else. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error && 'code' in error && typeof error.code === 'string')) return undefined;
  // Node has no name for some, EDQUOT among them.
  return error.code === 'UNKNOWN' && 'errno' in error ? nameOf(Math.abs(Number(error.errno))) : error.code;
}

/** Whether the kernel gave the error, rather than Node.js or a library. */
export function isSystemError(error: unknown): boolean {
  return /^E(?!RR_)/.test(codeOf(error) ?? '');
}

function nameOf(errno: number): string {
  return Object.entries(constants.errno).find(([, value]) => value === errno)?.[0] ?? `E${errno}`;
}
