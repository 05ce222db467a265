import type { RawPath } from './system-error.ts';

/** The same path in the types that node:fs takes. */
export function nodePath(path: RawPath): string | Buffer {
  return typeof path === 'string' ? path : Buffer.from(path.buffer, path.byteOffset, path.byteLength);
}
