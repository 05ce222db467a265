/** How well the content that differs between two archives compresses: from member lines, without reading content. */
import { type ByteString, compareWalkOrder } from '../format/byte-string.ts';
import { parseEntryLine } from '../format/entry-line.ts';
import type { MemberLines, Summary } from '../format/manifest.ts';
import { readMemberLines } from '../format/manifest-reader.ts';
import type { Replaced } from './rules.ts';

/**
 * Pairs members by the first path in them, as both manifests have them in walk order. What both archives hold with the
 * same bytes is left out.
 */
export async function replacedContent(
  before: string,
  after: string,
  signal: AbortSignal | undefined,
): Promise<Replaced> {
  const one = new Members(before);
  const other = new Members(after);
  const sums = { contentBefore: 0, compressedBefore: 0, contentAfter: 0, compressedAfter: 0 };
  const count = (member: Place | undefined, side: 'Before' | 'After') => {
    if (!member) return;
    sums[`content${side}`] += contentOf(member);
    sums[`compressed${side}`] += member.lines.member.size;
  };
  let [a, b] = [await one.next(), await other.next()];
  while (a || b) {
    signal?.throwIfAborted();
    const order = !a ? 1 : !b ? -1 : compareWalkOrder(a.path, b.path) || a.part - b.part;
    if (order !== 0 || a!.lines.member.sha256 !== b!.lines.member.sha256) {
      if (order <= 0) count(a, 'Before');
      if (order >= 0) count(b, 'After');
    }
    if (order <= 0) a = await one.next();
    if (order >= 0) b = await other.next();
  }
  return sums;
}

interface Place {
  readonly lines: MemberLines;
  readonly where: string;
  /** The first path in the member, or that of the file that it is a part of. */
  readonly path: ByteString;
  /** 0: not a slice of a large file. */
  readonly part: number;
}

class Members {
  readonly #members: AsyncGenerator<MemberLines, Summary>;
  readonly #where: string;
  #path = '' as ByteString;
  #part = 0;

  constructor(manifest: string) {
    this.#where = manifest;
    this.#members = readMemberLines(manifest);
  }

  async next(): Promise<Place | undefined> {
    for (;;) {
      const { value, done } = await this.#members.next();
      if (done) return undefined;
      const [first] = value.lines;
      if (value.member.kind === 'part') this.#part++;
      else if (first === undefined) continue;
      else {
        this.#path = parseEntryLine(first, this.#where).path;
        this.#part = 0;
      }
      return { lines: value, where: this.#where, path: this.#path, part: this.#part };
    }
  }
}

/** Bytes of file content in a member: its headers compress well whatever the content is. */
function contentOf({ lines: { member, lines }, where }: Place): number {
  if (member.kind === 'part') return member.rawSize;
  if (member.kind !== 'group') return 0;
  return lines.reduce((sum, line) => sum + parseEntryLine(line, where).size, 0);
}
