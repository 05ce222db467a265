import { codeOf, isSystemError } from '../../posix/system-error.ts';
import { ArchiveError } from '../errors.ts';
import { type ByteString, display } from '../format/byte-string.ts';

export type WarningKind = 'changed' | 'moved' | 'vanished' | 'unreadable' | 'xattrs';

/** Something that the archive does not store faithfully. */
export interface Warning {
  readonly kind: WarningKind;
  readonly path: ByteString;
  readonly message: string;
}

export type Warn = (warning: Warning) => void;

/** Errors of the machine, not of the file being read. */
const exhausted: ReadonlyMap<string, string> = new Map([
  ['ENOMEM', 'The system has no memory left'],
  ['EMFILE', 'This process has too many files open'],
  ['ENFILE', 'The system has too many files open'],
]);

/**
 * Turns a system error that occurred while a source file was read into a warning about that file.
 * @throws {ArchiveError} OutOfResources when the cause is the machine
 * @throws the error itself when the kernel did not give it
 */
export function readWarning(error: unknown, path: ByteString): Warning {
  if (!isSystemError(error)) throw error;
  const code = codeOf(error)!;
  const cause = exhausted.get(code);
  if (cause !== undefined) {
    throw new ArchiveError('OutOfResources', `${cause} (${code}). No archive was written.`, { cause: error });
  }
  if (code === 'ENOENT') return { kind: 'vanished', path, message: 'vanished after it was listed' };
  if (code === 'ELOOP' || code === 'ENOTDIR') {
    const message = 'was replaced, or a directory above it was, after it was listed';
    return { kind: 'vanished', path, message };
  }
  return { kind: 'unreadable', path, message: `cannot be read (${code})` };
}

export const CHANGED_UNDER_READ = 'changed under every read; the stored content may mix states';
export const NOT_A_FILE_ANY_MORE = 'was replaced by something that is not a file';

/** `./a/b: cannot be read (EACCES)`, bounded and escaped. */
export function formatWarning({ path, message }: Warning): string {
  return `${display(`./${path}` as ByteString)}: ${message}`;
}
