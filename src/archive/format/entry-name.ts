import type { ByteString } from './byte-string.ts';

/** Real trees stay far below this. It bounds what a hostile archive can make us hold and create. */
const MAX_PATH = 64 * 1024;

/**
 * A path that is in its plain form already, as nearly all are. Single names have no limit here: NTFS and SMB
 * allow 255 UTF-16 units, which is more than the 255 bytes of most file systems.
 */
const plainPath = /^(?!\.{1,2}(?:\/|$))[^/\0]+(?:\/(?!\.{1,2}(?:\/|$))[^/\0]+)*$/;

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
    parts.push(part);
  }
  return { path: parts.join('/') as ByteString };
}
