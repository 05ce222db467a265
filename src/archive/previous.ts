import { closeSync, openSync } from 'node:fs';
import { type ByteString, compareWalkOrder } from './byte-string.ts';
import type { Unit } from './cut.ts';
import { type Entry, type Member, type MemberEntries, readManifest, type Summary } from './manifest.ts';

/** A unit of the previous archive: a group, or a large file with its parts. */
export interface PreviousUnit {
  readonly entries: readonly Entry[];
  readonly lines: string;
  readonly members: readonly Member[];
}

/**
 * Clocks of file systems tick coarsely (2 s at worst), so a file that was written in the same tick as it
 * was read may look as it did before. What changed this shortly before the previous run, or during it,
 * is read again.
 */
const TICK_NS = 2_000_000_000n;

/** The previous archive, read along with the walk: both are in the same order, so neither is held in memory. */
export class Previous implements AsyncDisposable {
  readonly path: string;
  readonly fd: number;
  readonly sourceBytes: number;
  readonly #units: AsyncGenerator<PreviousUnit>;
  readonly #settledBefore: bigint;
  #current: PreviousUnit | undefined;
  #started = false;

  constructor(path: string, manifestPath: string, summary: Summary) {
    this.path = path;
    this.sourceBytes = summary.sourceBytes;
    this.fd = openSync(path, 'r');
    this.#units = units(readManifest(manifestPath));
    this.#settledBefore = BigInt(Date.parse(summary.startedAt)) * 1_000_000n - TICK_NS;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    closeSync(this.fd);
    await this.#units.return(undefined);
  }

  /** The unit of the previous archive that begins with the same name; ask in walk order. */
  async at(unit: Unit): Promise<PreviousUnit | undefined> {
    const first = firstPath(unit);
    if (!this.#started) await this.#advance();
    this.#started = true;
    while (this.#current && compareWalkOrder(this.#current.entries[0]!.path, first) < 0)
      await this.#advance();
    return this.#current && this.#current.entries[0]!.path === first ? this.#current : undefined;
  }

  /** Whether every entry is what it was, and was not written while the previous run read it. */
  isUnchanged(unit: Unit, previous: PreviousUnit): boolean {
    const items = unit.kind === 'group' ? unit.items : [unit.item];
    return (
      items.length === previous.entries.length &&
      items.every(({ entry }, index) => {
        const old = previous.entries[index]!;
        return sameEntry(entry, old) && !old.torn && BigInt(old.ctime) < this.#settledBefore;
      })
    );
  }

  async #advance(): Promise<void> {
    const next = await this.#units.next();
    this.#current = next.done ? undefined : next.value;
  }
}

function firstPath(unit: Unit): ByteString {
  return (unit.kind === 'group' ? unit.items[0]! : unit.item).entry.path;
}

function sameEntry(a: Entry, b: Entry): boolean {
  return (
    a.path === b.path &&
    a.type === b.type &&
    a.size === b.size &&
    a.mtime === b.mtime &&
    a.ctime === b.ctime &&
    a.ino === b.ino &&
    a.mode === b.mode &&
    a.uid === b.uid &&
    a.gid === b.gid &&
    a.link === b.link &&
    a.device?.[0] === b.device?.[0] &&
    a.device?.[1] === b.device?.[1]
  );
}

async function* units(members: AsyncGenerator<MemberEntries, Summary>): AsyncGenerator<PreviousUnit> {
  let large: { entries: readonly Entry[]; lines: string; members: Member[] } | undefined;
  for await (const { member, entries, lines } of members) {
    if (member.kind === 'part') {
      large?.members.push(member);
      continue;
    }
    if (large) yield large;
    large = undefined;
    if (member.kind === 'header') large = { entries, lines, members: [member] };
    else if (entries.length > 0) yield { entries, lines, members: [member] };
  }
  if (large) yield large;
}
