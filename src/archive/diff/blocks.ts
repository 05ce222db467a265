/**
 * The entries of a manifest as bytes, for reading millions of them: most of two archives is the same, and is compared
 * without being parsed.
 */
import { createHash, type Hash } from 'node:crypto';
import { type ByteString, compareWalkOrder } from '../format/byte-string.ts';
import { parseEntryLine } from '../format/entry-line.ts';
import { invalid, isHex } from '../format/manifest-checks.ts';
import type { ManifestFrames } from '../format/manifest-frames.ts';
import { free } from '../format/memory.ts';
import type { Recorded } from './compare.ts';
import { parsePlainLine } from './plain-line.ts';
import { isSameText } from './same-text.ts';

/** An entry's line, which is parsed only if it is asked for. */
export class Line {
  readonly bytes: Buffer;
  readonly start: number;
  /** Without the newline. */
  readonly end: number;
  /** Of a large file: one digest for the digests of its slices. */
  parts: string | undefined;
  readonly #where: string;
  #path: ByteString | undefined;
  #recorded: Recorded | undefined;

  constructor(bytes: Buffer, start: number, end: number, where: string) {
    this.bytes = bytes;
    this.start = start;
    this.end = end;
    this.#where = where;
  }

  get path(): ByteString {
    this.#path ??= (this.#recorded ? undefined : this.#plainPath()) ?? this.recorded.entry.path;
    return this.#path;
  }

  /** @throws {ArchiveError} ManifestInvalid */
  get recorded(): Recorded {
    this.#recorded ??= {
      entry:
        parsePlainLine(this.bytes.toString('latin1', this.start, this.end)) ??
        parseEntryLine(this.bytes.toString('utf8', this.start, this.end), this.#where),
      parts: this.parts,
    };
    return this.#recorded;
  }

  /** Whether both lines say the same of everything but ctime and inode, which no restore brings back. */
  isSame(other: Line): boolean {
    if (this.parts !== other.parts) return false;
    const length = this.end - this.start;
    if (
      length === other.end - other.start &&
      isSameText(this.bytes, this.start, other.bytes, other.start, length)
    )
      return true;
    const at = this.#ctimeAt();
    // Mostly they differ before.
    if (at === -1 || !isSameText(this.bytes, this.start, other.bytes, other.start, at - this.start))
      return false;
    const [ours, theirs] = [this.#afterIno(at), other.#afterIno(other.start + at - this.start)];
    const rest = this.end - ours;
    return (
      ours !== -1 &&
      theirs !== -1 &&
      rest === other.end - theirs &&
      isSameText(this.bytes, ours, other.bytes, theirs, rest)
    );
  }

  /** Where the value of ctime begins. Quotes within names are escaped, so nothing else looks like it. */
  #ctimeAt(): number {
    const at = this.bytes.indexOf(CTIME, this.start);
    return at === -1 || at >= this.end ? -1 : at + CTIME.length;
  }

  /** @param ctimeAt Where the value of ctime begins. @returns The end of the inode, which follows it, or -1. */
  #afterIno(ctimeAt: number): number {
    const ino = this.bytes.indexOf(INO, ctimeAt);
    const end = ino === -1 ? -1 : this.bytes.indexOf(QUOTE, ino + INO.length);
    return end >= this.end ? -1 : end;
  }

  /** Most paths are written in the line as they are. */
  #plainPath(): ByteString | undefined {
    const { bytes, start } = this;
    if (bytes.compare(PATH, 0, PATH.length, start, start + PATH.length) !== 0) return undefined;
    const from = start + PATH.length;
    const path = bytes.toString('latin1', from, bytes.indexOf(QUOTE, from));
    return path.includes('\\') ? undefined : (path as ByteString);
  }
}

const PATH = Buffer.from('{"path":"');
const CTIME = Buffer.from(',"ctime":"');
const INO = Buffer.from('","ino":"');
const MEMBER = Buffer.from('{"member":{"kind":"');
const NEXT_MEMBER = Buffer.concat([Buffer.from('\n'), MEMBER]);
const QUOTE = 0x22;
export const NEWLINE = 0x0a;

/** The lines of a group, as bytes. Where they end is looked for only if it is not known otherwise. */
export class Group {
  readonly bytes: Buffer;
  readonly start: number;
  #end: number | undefined;

  constructor(bytes: Buffer, start: number) {
    this.bytes = bytes;
    this.start = start;
  }

  get end(): number {
    this.#end ??= endOfMember(this.bytes, this.start);
    return this.#end;
  }

  /** Groups have the same bounds in both archives, unless names near them were added or removed. */
  isSame(other: Group): boolean {
    const length = this.end - this.start;
    const end = other.start + length;
    if (end > other.bytes.length || (end < other.bytes.length && !startsMember(other.bytes, end)))
      return false;
    if (this.bytes.compare(other.bytes, other.start, end, this.start, this.end) !== 0) return false;
    other.#end = end;
    return true;
  }
}

/** Entries that lie together: a group, or single lines. */
export type Block = Group | readonly Line[];

/** Frames that are decompressed ahead, by the threads of Node's pool. */
const AHEAD = 2;

/**
 * Every block of a manifest, in walk order, frame by frame. The blocks of one frame must be taken before the next, and
 * their bytes are gone afterwards.
 *
 * @throws {ArchiveError} ManifestInvalid
 */
export async function* manifestBlocks(
  frames: ManifestFrames,
  where: string,
): AsyncGenerator<Iterable<Block>> {
  const ahead: Promise<Buffer<ArrayBuffer>>[] = [];
  const blocks = new Blocks(where);
  try {
    for (let index = 0, sent = 0; index < frames.length; index++) {
      for (; sent < frames.length && ahead.length < AHEAD; sent++) ahead.push(frames.text(sent));
      const bytes = await ahead.shift()!;
      yield blocks.of(bytes);
      // Two manifests of a million entries have 500 MB of text: garbage collection would take as long as comparing.
      free(bytes);
    }
    yield blocks.rest();
  } finally {
    await Promise.allSettled(ahead);
  }
}

/** Far more than a group has entries. */
const MAX_HELD = 1000;

/** Puts the members of successive frames in walk order. */
export class Blocks {
  readonly #where: string;
  #large: { readonly line: Line; readonly parts: Hash } | undefined;
  /**
   * Large files that no group has followed yet. A file that outgrew its group while it was packed stands before the
   * group instead of within it; everything else is in walk order.
   */
  readonly #held: Line[] = [];

  constructor(where: string) {
    this.#where = where;
  }

  *of(bytes: Buffer): Generator<Block> {
    // Node.js adds an empty frame to one that exactly fills its buffer: earlier versions wrote a few such frames.
    if (bytes.length === 0) return;
    if (bytes.at(-1) !== NEWLINE) throw invalid(this.#where, 'its last line is cut');
    for (let at = 0; at < bytes.length; ) {
      if (!startsMember(bytes, at)) throw invalid(this.#where, 'a member line is malformed');
      const kind = bytes[at + MEMBER.length];
      const start = bytes.indexOf(NEWLINE, at) + 1;
      const group = new Group(bytes, start);
      if (kind === KIND.part) this.#large?.parts.update(this.#digestIn(bytes.toString('latin1', at, start)));
      else {
        this.#endLarge();
        if (kind === KIND.header) this.#beginLarge(bytes.subarray(start, group.end - 1));
        else if (start < bytes.length && !startsMember(bytes, start)) yield* this.#before(group);
      }
      if (this.#held.length > MAX_HELD) yield this.#held.splice(0, MAX_HELD / 2);
      at = group.end;
    }
  }

  *rest(): Generator<Block> {
    this.#endLarge();
    yield this.#held.splice(0);
  }

  /** With bytes of its own: it may wait until after its frame. */
  #beginLarge(line: Uint8Array): void {
    this.#large = {
      line: new Line(Buffer.from(line), 0, line.length, this.#where),
      parts: createHash('sha256'),
    };
  }

  #endLarge(): void {
    if (!this.#large) return;
    const { line, parts } = this.#large;
    line.parts = parts.digest('hex');
    this.#held.push(line);
    this.#large = undefined;
  }

  #digestIn(line: string): string {
    const digest = /"rawSha256":"([^"]*)"/.exec(line)?.[1];
    if (!isHex(digest)) throw invalid(this.#where, 'a member line is malformed');
    return digest;
  }

  /** What was held, and the group. */
  #before(group: Group): Block[] {
    if (this.#held.length === 0) return [group];
    const held = this.#held.splice(0);
    const lines = linesOf(group, this.#where);
    if (held.every((line) => compareWalkOrder(line.path, lines[0]!.path) < 0)) return [held, group];
    return [[...held, ...lines].sort((a, b) => compareWalkOrder(a.path, b.path))];
  }
}

const KIND = { part: 'p'.charCodeAt(0), header: 'h'.charCodeAt(0) };

function startsMember(bytes: Buffer, at: number): boolean {
  return bytes.compare(MEMBER, 0, MEMBER.length, at, Math.min(at + MEMBER.length, bytes.length)) === 0;
}

/** @param start Of its first line. */
function endOfMember(bytes: Buffer, start: number): number {
  const next = bytes.indexOf(NEXT_MEMBER, start - 1);
  return next === -1 ? bytes.length : next + 1;
}

export function linesOf({ bytes, start, end }: Group, where: string): Line[] {
  const lines: Line[] = [];
  for (let at = start; at < end; ) {
    const newline = bytes.indexOf(NEWLINE, at);
    lines.push(new Line(bytes, at, newline, where));
    at = newline + 1;
  }
  return lines;
}
