import { type ByteString, display } from '../format/byte-string.ts';
import type { Entry } from '../format/entry.ts';

/** Who restores, as far as it decides what can be set. */
export interface Restorer {
  readonly setsOwners: boolean;
  /** `security.capability` of files. Takes CAP_SETFCAP. */
  readonly setsCapabilities: boolean;
  /** Other attributes of `security.*`, and those of `trusted.*`. Takes CAP_SYS_ADMIN. */
  readonly setsSystemXattrs: boolean;
  readonly uid: number;
  readonly gid: number;
}

const MAX_NAMES = 3;

interface Group {
  count: number;
  readonly names: string[];
}

/** What a restore by this user will lose, counted before it begins. Pure. */
export class ForeseenLosses {
  readonly #restorer: Restorer;
  readonly #owners: Group = { count: 0, names: [] };
  readonly #xattrs: Group = { count: 0, names: [] };

  constructor(restorer: Restorer) {
    this.#restorer = restorer;
  }

  add(entry: Entry): void {
    const { setsOwners, uid, gid } = this.#restorer;
    if (!setsOwners && entry.type !== 'hardlink' && (entry.uid !== uid || entry.gid !== gid)) {
      note(this.#owners, entry.path);
    }
    if (Object.keys(entry.xattrs ?? {}).some((name) => !this.#sets(name))) note(this.#xattrs, entry.path);
  }

  #sets(attribute: string): boolean {
    const { setsCapabilities, setsSystemXattrs } = this.#restorer;
    if (attribute === 'security.capability') return setsCapabilities;
    return setsSystemXattrs || !(attribute.startsWith('security.') || attribute.startsWith('trusted.'));
  }

  /** One line for each kind of loss. */
  get lines(): string[] {
    const { uid, gid } = this.#restorer;
    return [
      ...line(
        this.#owners,
        `will belong to ${uid}:${gid} instead of their recorded owners, because this process may not set owners`,
      ),
      ...line(
        this.#xattrs,
        'will lose extended attributes that this process may not set (security.*, trusted.*)',
      ),
    ];
  }
}

function note(group: Group, path: ByteString): void {
  group.count++;
  if (group.names.length < MAX_NAMES) group.names.push(display(path === '' ? ('./' as ByteString) : path));
}

function line({ count, names }: Group, what: string): string[] {
  if (count === 0) return [];
  return [
    `${count} ${count === 1 ? 'entry' : 'entries'} ${what}: ${names.join(', ')}${count > names.length ? ', …' : ''}`,
  ];
}
