import { closeSync, openSync } from 'node:fs';
import { type ByteString, compareWalkOrder } from '../format/byte-string.ts';
import { encodeIdentity, isPlainTail, parseEntryLine } from '../format/entry-line.ts';
import type { Member, MemberLines, Summary } from '../format/manifest.ts';
import { readMemberLines } from '../format/manifest-reader.ts';
import type { Unit } from './chunker.ts';
import type { Found } from './walk.ts';

/** A unit of the previous archive: a group, or a large file with its parts. */
export interface PreviousUnit {
  readonly firstPath: ByteString;
  /** The entries' lines of the manifest. */
  readonly lines: readonly string[];
  readonly members: readonly Member[];
}

/**
 * Clocks of file systems tick coarsely (2 s at worst), so a file that was written in the same tick as it
 * was read may look as it did before. What changed this shortly before the previous run, or during it,
 * is read again.
 */
const TICK_NS = 2e9;

/** The previous archive, read along with the walk: both are in the same order, so neither is held in memory. */
export class Previous implements AsyncDisposable {
  readonly path: string;
  readonly fd: number;
  readonly sourceBytes: number;
  readonly #units: AsyncGenerator<PreviousUnit>;
  readonly #settledBefore: number;
  readonly #manifestPath: string;
  #current: PreviousUnit | undefined;
  #started = false;

  constructor(path: string, manifestPath: string, summary: Summary) {
    this.path = path;
    this.sourceBytes = summary.sourceBytes;
    this.fd = openSync(path, 'r');
    this.#manifestPath = manifestPath;
    this.#units = units(readMemberLines(manifestPath), manifestPath);
    this.#settledBefore = Date.parse(summary.startedAt) * 1e6 - TICK_NS;
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
    while (this.#current && compareWalkOrder(this.#current.firstPath, first) < 0) await this.#advance();
    return this.#current?.firstPath === first ? this.#current : undefined;
  }

  /** Whether every entry is what it was, and was not written while the previous run read it. */
  isUnchanged(unit: Unit, { lines }: PreviousUnit): boolean {
    const items = unit.kind === 'group' ? unit.items : [unit.item];
    return items.length === lines.length && items.every((found, index) => this.#isSame(found, lines[index]!));
  }

  #isSame({ entry }: Found, line: string): boolean {
    const identity = encodeIdentity(entry);
    if (!line.startsWith(identity) || Number(entry.ctime) >= this.#settledBefore) return false;
    return isPlainTail(line, identity.length) || !parseEntryLine(line, this.#manifestPath).inconsistent;
  }

  async #advance(): Promise<void> {
    const next = await this.#units.next();
    this.#current = next.done ? undefined : next.value;
  }
}

function firstPath(unit: Unit): ByteString {
  return (unit.kind === 'group' ? unit.items[0]! : unit.item).entry.path;
}

async function* units(
  members: AsyncGenerator<MemberLines, Summary>,
  manifestPath: string,
): AsyncGenerator<PreviousUnit> {
  let large: (PreviousUnit & { members: Member[] }) | undefined;
  for await (const { member, lines } of members) {
    if (member.kind === 'part') {
      large?.members.push(member);
      continue;
    }
    if (large) yield large;
    large = undefined;
    const [first] = lines;
    if (first === undefined) continue;
    const unit = { firstPath: parseEntryLine(first, manifestPath).path, lines, members: [member] };
    if (member.kind === 'header') large = unit;
    else yield unit;
  }
  if (large) yield large;
}
