import { closeSync, openSync } from 'node:fs';
import path from 'node:path';
import { isSystemError } from '../../posix/system-error.ts';
import { managedFiles } from '../destination/directory.ts';
import { ArchiveError } from '../errors.ts';
import { type ByteString, compareWalkOrder } from '../format/byte-string.ts';
import { encodeIdentity, isPlainTail, parseEntryLine } from '../format/entry-line.ts';
import type { Member, MemberLines, Summary } from '../format/manifest.ts';
import { readMemberLines, readSummary } from '../format/manifest-reader.ts';
import { manifestNameOf } from '../format/names.ts';
import { PACKING, type Unit } from './chunker.ts';
import type { PackSettings } from './pack-member.ts';
import type { Found } from './walk.ts';

/** A unit of the previous archive: a group, or a large file with its parts. */
export interface PreviousUnit {
  readonly firstPath: ByteString;
  /** The entries' lines of the manifest. */
  readonly lines: readonly string[];
  readonly members: readonly Member[];
}

/**
 * Clocks of file systems tick coarsely (2 s at worst): a file written in the tick in which it was read may look
 * unchanged. So whatever changed within this time before the previous run, or during it, is read again.
 */
const TICK_NS = 2e9;

/**
 * The newest sound archive whose members fit this run: of the same series, compression, level and packing rules.
 * Undefined if there is none, or none that can be read: everything is then packed from the source.
 */
export function openPrevious(
  directory: string,
  series: string | undefined,
  settings: PackSettings,
): Previous | undefined {
  const candidates = managedFiles(directory)
    .flatMap((file) => {
      const summary = summaryOrNothing(manifestNameOf(file.path));
      return summary ? [{ file, summary }] : [];
    })
    .filter(
      ({ file, summary }) =>
        summary.archive === file.name &&
        summary.sizeBytes === file.sizeBytes &&
        summary.series === (series ?? null) &&
        summary.compression === settings.compression &&
        summary.level === settings.level &&
        summary.packing === PACKING,
    )
    .sort((a, b) => Date.parse(b.summary.startedAt) - Date.parse(a.summary.startedAt));
  for (const { file, summary } of candidates) {
    try {
      return new Previous(file.path, manifestNameOf(file.path), summary);
    } catch (error) {
      if (!isSystemError(error)) throw error;
    }
  }
  return undefined;
}

function summaryOrNothing(manifestPath: string): Summary | undefined {
  try {
    return readSummary(manifestPath);
  } catch {
    // Without its manifest an archive cannot be reused. `verify` and `list` report the damage.
    return undefined;
  }
}

/** Reads the previous archive along with the walk. Both have the same order, so neither is held in memory. */
export class Previous implements AsyncDisposable {
  readonly path: string;
  readonly fd: number;
  readonly sourceBytes: number;
  readonly #units: AsyncGenerator<PreviousUnit>;
  readonly #settledBefore: number;
  readonly #manifestPath: string;
  #current: PreviousUnit | undefined;
  #started = false;
  readonly #corruptOffsets = new Set<number>();
  #problem: string | undefined;

  constructor(file: string, manifestPath: string, summary: Summary) {
    this.path = file;
    this.sourceBytes = summary.sourceBytes;
    this.fd = openSync(file, 'r');
    this.#manifestPath = manifestPath;
    this.#units = units(readMemberLines(manifestPath), manifestPath);
    this.#settledBefore = Date.parse(summary.startedAt) * 1e6 - TICK_NS;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    closeSync(this.fd);
    await this.#units.return(undefined);
  }

  /** Notes that a member does not match its digest, or cannot be read. */
  addCorrupt({ offset }: Member): void {
    this.#corruptOffsets.add(offset);
  }

  /** What is wrong with the previous archive, in words; undefined if all that was read of it is sound. */
  get damage(): string | undefined {
    const name = path.basename(this.path);
    const advice = 'check it with `km-backup verify`, and the volume it lies on';
    if (this.#problem !== undefined)
      return `The manifest of ${name} is damaged (${this.#problem}): ${advice}.`;
    if (this.#corruptOffsets.size === 0) return undefined;
    return `${this.#corruptOffsets.size} damaged piece(s) of ${name} were packed again from the source: ${advice}.`;
  }

  /** The unit of the previous archive that begins with the same name; ask in walk order. */
  async at(unit: Unit): Promise<PreviousUnit | undefined> {
    const first = firstPath(unit);
    if (!this.#started) await this.#advance();
    this.#started = true;
    while (this.#current && compareWalkOrder(this.#current.firstPath, first) < 0) await this.#advance();
    return this.#current?.firstPath === first ? this.#current : undefined;
  }

  /** Whether no entry has changed, and none was written while the previous run read it. */
  isUnchanged(unit: Unit, { lines }: PreviousUnit): boolean {
    const items = unit.kind === 'group' ? unit.items : [unit.item];
    return items.length === lines.length && items.every((found, index) => this.#isSame(found, lines[index]!));
  }

  #isSame({ entry }: Found, line: string): boolean {
    const identity = encodeIdentity(entry);
    if (!line.startsWith(identity) || Number(entry.ctime) >= this.#settledBefore) return false;
    return isPlainTail(line, identity.length) || this.#isConsistent(line);
  }

  #isConsistent(line: string): boolean {
    try {
      return !parseEntryLine(line, this.#manifestPath).inconsistent;
    } catch (error) {
      if (!(error instanceof ArchiveError)) throw error;
      this.#problem = error.message;
      return false;
    }
  }

  async #advance(): Promise<void> {
    try {
      const next = await this.#units.next();
      this.#current = next.done ? undefined : next.value;
    } catch (error) {
      if (!(error instanceof ArchiveError)) throw error;
      // The source is what counts: a damaged manifest only costs time.
      this.#problem = error.message;
      this.#current = undefined;
    }
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
