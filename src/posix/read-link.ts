import { call } from './libc.ts';
import { pathBytes } from './path-bytes.ts';

let target = Buffer.alloc(4096);

/** The text of a symlink in an open directory; names and text have one character a byte. */
export function readLinkAt(directory: number, name: string): string {
  for (;;) {
    const length = call('readlinkat', undefined, directory, pathBytes(name), target, target.length);
    if (length < target.length) return target.toString('latin1', 0, length);
    target = Buffer.alloc(4 * target.length);
  }
}
