import type { ByteString } from './byte-string.ts';

/** NAME_MAX of every Linux file system. */
const MAX_NAME = 255;
/** No tree nests deeper than this in earnest; it bounds what a hostile archive makes us hold and create. */
const MAX_PATH = 64 * 1024;

/** A path that is in its plain form already, as nearly all are. */
const plainPath = /^(?!\.{1,2}(?:\/|$))[^/\0]{1,255}(?:\/(?!\.{1,2}(?:\/|$))[^/\0]{1,255})*$/;

export type NameVerdict =
  | { readonly path: ByteString; readonly refused?: undefined }
  | { readonly refused: string };

/** The path below the root that a name in a tar means: `./a//b/` is `a/b`, `./` is ''. */
export function normalizeName(raw: ByteString): NameVerdict {
  if (raw.length <= MAX_PATH && plainPath.test(raw)) return { path: raw };
  if (raw === '') return { refused: 'an empty name' };
  if (raw.startsWith('/')) return { refused: 'an absolute path' };
  if (raw.length > MAX_PATH) return { refused: `a path of ${raw.length} bytes` };
  if (raw.includes('\0')) return { refused: 'a NUL byte in its name' };
  const parts: string[] = [];
  for (const part of raw.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') return { refused: 'a ".." in its path' };
    if (part.length > MAX_NAME) return { refused: `a name of ${part.length} bytes (at most ${MAX_NAME})` };
    parts.push(part);
  }
  return { path: parts.join('/') as ByteString };
}
