import { ArchiveError } from '../errors.ts';
import { type ByteString, display } from './byte-string.ts';
import type { Entry, EntryType } from './entry.ts';
import { normalizeName } from './entry-name.ts';
import type { Extension, GlobalExtension } from './tar-extension.ts';
import { corrupt, readName, readNumber, readString, readTime } from './tar-fields.ts';

const typeOfFlag: Readonly<Record<string, EntryType>> = {
  '0': 'file',
  // A contiguous file of old systems, an ordinary one everywhere else.
  '7': 'file',
  // GNU's old sparse files.
  S: 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'character',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
};

/**
 * The entry that a header block and the extended headers before it describe.
 * @throws {ArchiveError} ArchiveCorrupt, or RestoreRefused for what no restore may write.
 */
export function entryOf(
  block: Buffer,
  type: string,
  extension: Extension | undefined,
  global: GlobalExtension,
  at: number,
): { readonly entry: Entry; readonly packed: number } {
  const rawName =
    (extension?.sparse.get('name') as ByteString | undefined) ?? extension?.path ?? readName(block);
  const entryType = typeOf(type, rawName);
  const path = plainName(rawName);
  const packed = extension?.size ?? global.size ?? readNumber(block, 124, 12, 'size', at);
  const content = entryType === 'file' ? packed : 0;
  // A hard link's size describes its target. Readers disagree about data after a hard link, so none is expected.
  if (entryType !== 'file' && entryType !== 'hardlink' && packed !== 0) {
    throw corrupt(at, `'${display(path)}' is a ${entryType} with content`);
  }
  const isLink = entryType === 'symlink' || entryType === 'hardlink';
  const link = isLink ? (extension?.linkpath ?? readString(block, 157, 100)) : undefined;
  const isDevice = entryType === 'character' || entryType === 'block';
  const number = (start: number, what: string) => readNumber(block, start, 8, what, at);
  return {
    packed,
    entry: {
      path,
      type: entryType,
      mode: number(100, 'mode') & 0o7777,
      uid: extension?.uid ?? global.uid ?? number(108, 'uid'),
      gid: extension?.gid ?? global.gid ?? number(116, 'gid'),
      size: content,
      mtime: extension?.mtime ?? global.mtime ?? readTime(block, at),
      ctime: '0',
      ino: '0',
      ...(link === undefined ? {} : { link: entryType === 'hardlink' ? plainTarget(link, path) : link }),
      ...(extension && extension.xattrs.size > 0 ? { xattrs: Object.fromEntries(extension.xattrs) } : {}),
      ...(isDevice ? { device: [number(329, 'device'), number(337, 'device')] as const } : {}),
    },
  };
}

/** Tars from before POSIX mark a directory by the slash at its end alone. */
function typeOf(flag: string, name: ByteString): EntryType {
  const type = Object.hasOwn(typeOfFlag, flag) ? typeOfFlag[flag] : undefined;
  if (type === undefined) throw refused(name, `is of the unknown type '${display(flag as ByteString)}'`);
  return type === 'file' && flag !== 'S' && name.endsWith('/') ? 'directory' : type;
}

function plainName(name: ByteString): ByteString {
  const verdict = normalizeName(name);
  if (verdict.refused !== undefined) throw refused(name, `has ${verdict.refused}`);
  return verdict.path;
}

function plainTarget(link: ByteString, path: ByteString): ByteString {
  const verdict = normalizeName(link);
  if (verdict.refused !== undefined) throw refused(path, `is a hard link to a name with ${verdict.refused}`);
  return verdict.path;
}

function refused(name: ByteString, what: string): ArchiveError {
  return new ArchiveError(
    'RestoreRefused',
    `refused: the archive's entry '${display(name)}' ${what}. Nothing was changed.`,
  );
}
