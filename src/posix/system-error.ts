import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';
import { printable } from '../log/printable.ts';

/** A path for the kernel: text is encoded in UTF-8, names in other encodings are given as bytes. */
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

/** @returns The errno name of a system error, Node's or ours; undefined for anything else. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error && 'code' in error && typeof error.code === 'string')) return undefined;
  // Node has no name for some errors, such as EDQUOT.
  return error.code === 'UNKNOWN' && 'errno' in error ? nameOf(Math.abs(Number(error.errno))) : error.code;
}

/** Whether the error comes from the kernel rather than from Node.js or a library. */
export function isSystemError(error: unknown): boolean {
  return /^E(?!RR_)/.test(codeOf(error) ?? '');
}

function nameOf(errno: number): string {
  return Object.entries(constants.errno).find(([, value]) => value === errno)?.[0] ?? `E${errno}`;
}
