import { call, cString } from './libc.ts';
import type { RawPath } from './system-error.ts';

/**
 * Creates a FIFO. The umask applies.
 *
 * @throws EEXIST when the name is taken, even by a symlink.
 */
export function makeFifo(path: RawPath, mode: number): void {
  call('mkfifo', path, cString(path), mode);
}
