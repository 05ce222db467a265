import { ArchiveError } from '../errors.ts';
import { type ByteString, display } from '../format/byte-string.ts';
import type { Entry } from '../format/entry.ts';
import { dataBytes } from '../format/entry.ts';
import { normalizeName } from '../format/entry-name.ts';
import { RESTORE_STATE_NAME } from '../format/names.ts';

const MAX_SYMLINK = 4095;
/** chown takes the next number to mean "do not change". */
const MAX_ID = 2 ** 32 - 2;
/** Directories above one entry that the archive does not list. Each costs a few bytes of archive and a block of disk. */
const MAX_IMPLIED = 256;
/** NAME_MAX of most file systems; a longer name is for the target's file system to accept. */
const COMMON_MAX_NAME = 255;

export const SETUID = 0o4000;
export const SETGID = 0o2000;

export interface RestorePolicy {
  /** Keep setuid and setgid bits and capabilities of files. Directories always keep theirs, which give no rights. */
  readonly preserveSetid: boolean;
  /** Leave out devices with a warning instead of refusing the archive. */
  readonly skipDevices: boolean;
}

export type Admission =
  | {
      readonly kind: 'restore';
      readonly entry: Entry;
      /** Directories above it that the archive has not listed so far, outermost first. */
      readonly implied: readonly ByteString[];
    }
  | { readonly kind: 'skip'; readonly why: string };

/**
 * Admits the entries of one archive in turn. What it admits can be created in an empty directory without
 * following any symlink: every parent is a directory of this archive, no path occurs twice, and a hard link
 * names an earlier entry.
 */
export class EntryGate {
  readonly #policy: RestorePolicy;
  readonly #seen = new Set<ByteString>();
  readonly #directories = new Set<ByteString>(['' as ByteString]);
  readonly #implied = new Set<ByteString>();
  readonly #skipped = new Set<ByteString>();
  readonly #longNames = new Set<ByteString>();
  entries = 0;
  files = 0;
  /** Directories that have to be created without being listed. */
  impliedDirectories = 0;
  /** Bytes that the files will occupy: their data without holes. */
  dataBytes = 0;
  /** Entries that lost setuid, setgid or capabilities. */
  stripped = 0;

  constructor(policy: RestorePolicy) {
    this.#policy = policy;
  }

  /** What has been admitted at a path, if anything. */
  kindOf(path: ByteString): 'directory' | 'other' | undefined {
    if (this.#directories.has(path)) return 'directory';
    return this.#seen.has(path) ? 'other' : undefined;
  }

  /** Names of entries that some file systems refuse as too long. */
  get longNames(): ReadonlySet<ByteString> {
    return this.#longNames;
  }

  /** @throws {ArchiveError} RestoreRefused when the entry must not be restored. */
  admit(entry: Entry): Admission {
    const verdict = entry.path === '' ? { path: entry.path } : normalizeName(entry.path);
    if (verdict.refused !== undefined) throw refuse(entry, `has ${verdict.refused}`);
    if (verdict.path !== entry.path) throw refuse(entry, 'has a path that is not in its plain form');
    if (entry.path === '' && entry.type !== 'directory')
      throw refuse(entry, 'is the root but not a directory');

    if (entry.path === RESTORE_STATE_NAME || entry.path.startsWith(`${RESTORE_STATE_NAME}/`)) {
      return { kind: 'skip', why: 'belongs to an earlier restore' };
    }
    if (entry.type === 'character' || entry.type === 'block') {
      if (!this.#policy.skipDevices) {
        throw refuse(entry, 'is a device, which restore never makes; --skip-devices leaves it out');
      }
      this.#skipped.add(entry.path);
      return { kind: 'skip', why: 'is a device' };
    }

    const implied = this.#admitParents(entry);
    if (this.#implied.delete(entry.path) && entry.type === 'directory') {
      // Listed after what it holds: it has been created and only gets its metadata.
    } else if (this.#seen.has(entry.path) || (entry.path !== '' && this.#directories.has(entry.path))) {
      throw refuse(entry, 'occurs twice');
    }
    if (entry.type === 'hardlink') {
      if (this.#skipped.has(entry.link!)) return { kind: 'skip', why: 'is another name of a device' };
      this.#checkHardLink(entry);
    }
    if (entry.type === 'symlink') checkSymlink(entry);
    checkOwner(entry);

    this.#noteLongName(entry.path);
    this.#seen.add(entry.path);
    if (entry.type === 'directory') this.#directories.add(entry.path);
    this.entries++;
    if (entry.type === 'file') {
      this.files++;
      this.dataBytes += dataBytes(entry);
    }
    const safe = withoutPrivileges(entry, this.#policy);
    if (safe !== entry) this.stripped++;
    return { kind: 'restore', entry: safe, implied };
  }

  #admitParents(entry: Entry): ByteString[] {
    const implied: ByteString[] = [];
    const { path } = entry;
    for (let cut = path.lastIndexOf('/'); cut > 0; cut = path.lastIndexOf('/', cut - 1)) {
      const parent = path.slice(0, cut) as ByteString;
      if (this.#directories.has(parent)) break;
      if (this.#seen.has(parent)) {
        throw refuse(entry, `lies below '${display(parent)}', which is not a directory in the archive`);
      }
      implied.push(parent);
      if (implied.length > MAX_IMPLIED) {
        throw refuse(entry, `lies below more than ${MAX_IMPLIED} directories that the archive does not list`);
      }
    }
    implied.reverse();
    this.impliedDirectories += implied.length;
    for (const parent of implied) {
      this.#noteLongName(parent);
      this.#directories.add(parent);
      this.#implied.add(parent);
    }
    return implied;
  }

  #noteLongName(path: ByteString): void {
    const start = path.lastIndexOf('/') + 1;
    if (path.length - start > COMMON_MAX_NAME) this.#longNames.add(path.slice(start) as ByteString);
  }

  #checkHardLink(entry: Entry): void {
    const target = normalizeName(entry.link!);
    if (target.refused !== undefined) throw refuse(entry, `is a hard link to a name with ${target.refused}`);
    if (target.path !== entry.link)
      throw refuse(entry, 'is a hard link to a path that is not in its plain form');
    if (!this.#seen.has(target.path) || this.#directories.has(target.path)) {
      throw refuse(
        entry,
        `is a hard link to '${display(target.path)}', which is not an earlier file of this archive`,
      );
    }
  }
}

function checkSymlink(entry: Entry): void {
  const { length } = entry.link!;
  if (length === 0 || length > MAX_SYMLINK) throw refuse(entry, `is a symlink of ${length} bytes`);
  if (entry.link!.includes('\0')) throw refuse(entry, 'is a symlink with a NUL byte');
}

function checkOwner(entry: Entry): void {
  for (const id of [entry.uid, entry.gid]) {
    if (id < 0 || id > MAX_ID) throw refuse(entry, `belongs to ${id}, which is not a user or group id`);
  }
}

/** Whether an entry is left out. Devices reach this point only if the policy skips them. */
export function isSkipped(entry: Entry): boolean {
  return (
    entry.type === 'character' ||
    entry.type === 'block' ||
    entry.path === RESTORE_STATE_NAME ||
    entry.path.startsWith(`${RESTORE_STATE_NAME}/`)
  );
}

/** The entry without setuid, setgid and capabilities; the same object if it has none. */
export function withoutPrivileges(entry: Entry, { preserveSetid }: RestorePolicy): Entry {
  if (preserveSetid || entry.type === 'directory') return entry;
  const capability = entry.xattrs?.['security.capability'] !== undefined;
  const setid = entry.type === 'file' && (entry.mode & (SETUID | SETGID)) !== 0;
  if (!capability && !setid) return entry;
  const { 'security.capability': _, ...xattrs } = entry.xattrs ?? {};
  return { ...entry, mode: entry.mode & ~(SETUID | SETGID), xattrs };
}

function refuse(entry: Entry, what: string): ArchiveError {
  const name = display((entry.path === '' ? './' : entry.path) as ByteString);
  return new ArchiveError(
    'RestoreRefused',
    `refused: the archive's entry '${name}' ${what}. Nothing was changed.`,
  );
}
