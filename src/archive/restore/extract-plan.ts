import { ArchiveError } from '../errors.ts';
import { type ByteString, display, fromText, ROOT } from '../format/byte-string.ts';
import type { Entry } from '../format/entry.ts';
import { parseEntryLine, plainPathOf } from '../format/entry-line.ts';
import { normalizeName } from '../format/entry-name.ts';
import type { Member, MemberLines } from '../format/manifest.ts';
import { manifestNameOf } from '../format/names.ts';

/** What has to be read and written to extract chosen paths. */
export interface ExtractPlan {
  /** Members that hold something wanted, in the archive's order. */
  readonly members: readonly Member[];
  /** What to write when the tar comes to the path that is the key. */
  readonly outputs: ReadonlyMap<ByteString, Entry>;
  /** Hard links to write once their targets exist. */
  readonly links: readonly Entry[];
  /** Recorded directories above the chosen paths, outermost first: they give missing parents their mode and owner. */
  readonly parents: readonly Entry[];
  /** Names of files that chosen hard links need and that the manifest lacks. A whole one lacks none. */
  readonly elsewhere: readonly ByteString[];
}

/** Reads the manifest from its start, each time it is called. */
type ReadMembers = () => AsyncIterable<MemberLines>;

/**
 * The entries that the paths choose: each of these, and everything below it. A chosen name of a hard-linked file whose
 * first name is not chosen gets the content itself.
 * @throws {ArchiveError} EntryMissing when the archive does not hold one of the paths.
 */
export async function planExtract(
  archive: string,
  paths: ReadonlySet<ByteString>,
  read: ReadMembers,
): Promise<ExtractPlan> {
  const manifest = manifestNameOf(archive);
  const above = ancestorsOf(paths);
  const missing = new Set(paths);
  const chosen = new Map<ByteString, Entry>();
  const parents: Entry[] = [];
  const members = new Members();
  const matters = (path: ByteString) => isChosen(paths, path) || above.has(path);
  for await (const { member, lines } of read()) {
    members.next(member);
    for (const entry of entriesOf(lines, matters, manifest)) {
      missing.delete(entry.path);
      if (isChosen(paths, entry.path)) {
        chosen.set(entry.path, entry);
        members.want();
      } else if (entry.type === 'directory') parents.push(entry);
    }
  }
  if (missing.size > 0) {
    const names = [...missing].map((path) => `'./${display(path)}'`).join(', ');
    throw new ArchiveError(
      'EntryMissing',
      `${archive} does not hold ${names}. km-backup ls ARCHIVE lists what it holds.`,
    );
  }
  const { outputs, links, firstNames } = linkNames(chosen);
  if (firstNames.size === 0) return { members: members.wanted, outputs, links, parents, elsewhere: [] };

  // Another reading, because the content comes before the name that was chosen.
  const all = new Members();
  const elsewhere = new Set(firstNames.keys());
  const isContent = (path: ByteString) => firstNames.has(path) || outputs.has(path);
  for await (const { member, lines } of read()) {
    all.next(member);
    for (const entry of entriesOf(lines, isContent, manifest)) {
      elsewhere.delete(entry.path);
      const name = firstNames.get(entry.path);
      if (name !== undefined) outputs.set(entry.path, { ...entry, path: name });
      all.want();
    }
  }
  return { members: all.wanted, outputs, links, parents, elsewhere: [...elsewhere] };
}

/** The entries whose path matters; the lines of most others are not parsed. */
function* entriesOf(
  lines: readonly string[],
  matters: (path: ByteString) => boolean,
  where: string,
): Generator<Entry> {
  for (const line of lines) {
    const path = plainPathOf(line);
    if (path !== undefined && !matters(path)) continue;
    const entry = parseEntryLine(line, where);
    if (matters(entry.path)) yield entry;
  }
}

/** Splits what is chosen into what the tar brings and links among it. */
function linkNames(chosen: ReadonlyMap<ByteString, Entry>) {
  const outputs = new Map<ByteString, Entry>();
  const links: Entry[] = [];
  /** First names that are not chosen: the chosen name that gets the content in their place. */
  const firstNames = new Map<ByteString, ByteString>();
  for (const [path, entry] of chosen) {
    const { link } = entry;
    if (entry.type !== 'hardlink' || link === undefined) outputs.set(path, entry);
    else if (chosen.has(link)) links.push(entry);
    else {
      const first = firstNames.get(link);
      if (first === undefined) firstNames.set(link, path);
      else links.push({ ...entry, link: first });
    }
  }
  return { outputs, links, firstNames };
}

/** Collects members, with the parts that follow the header of a large file. */
class Members {
  readonly wanted: Member[] = [];
  #current: Member | undefined;
  #isWanted = false;

  next(member: Member): void {
    if (member.kind === 'part') {
      if (this.#isWanted) this.wanted.push(member);
      return;
    }
    this.#current = member;
    this.#isWanted = false;
  }

  /** The member that `next` gave last holds something wanted. */
  want(): void {
    if (this.#isWanted || !this.#current) return;
    this.#isWanted = true;
    this.wanted.push(this.#current);
  }
}

function isChosen(paths: ReadonlySet<ByteString>, path: ByteString): boolean {
  if (paths.has(ROOT) || paths.has(path)) return true;
  for (let cut = path.lastIndexOf('/'); cut > 0; cut = path.lastIndexOf('/', cut - 1)) {
    if (paths.has(path.slice(0, cut) as ByteString)) return true;
  }
  return false;
}

function ancestorsOf(paths: ReadonlySet<ByteString>): ReadonlySet<ByteString> {
  const above = new Set<ByteString>();
  for (const path of paths) {
    for (let cut = path.lastIndexOf('/'); cut > 0; cut = path.lastIndexOf('/', cut - 1)) {
      above.add(path.slice(0, cut) as ByteString);
    }
  }
  return above;
}

/**
 * An argument as a path within an archive.
 * @throws {ArchiveError} Usage when no archive can hold it.
 */
export function chosenPath(argument: string): ByteString {
  const verdict = normalizeName(fromText(argument));
  if (verdict.refused === undefined) return verdict.path;
  throw new ArchiveError(
    'Usage',
    `${JSON.stringify(argument)} cannot be in an archive: it has ${verdict.refused}.`,
  );
}
