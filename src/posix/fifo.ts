import { call, cString } from './libc.ts';
import type { RawPath } from './system-error.ts';

/** Makes a FIFO; the umask applies. EEXIST where the name is taken, also by a symlink. */
export function makeFifo(path: RawPath, mode: number): void {
  call('mkfifo', path, cString(path), mode);
}
