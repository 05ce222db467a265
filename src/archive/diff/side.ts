/** One of the two archives of a comparison: its entries in walk order, read as they are needed. */
import { archiveInfo, refuseProblem } from '../destination/inventory.ts';
import { type ByteString, compareWalkOrder, display } from '../format/byte-string.ts';
import { encodeEntry } from '../format/entry-line.ts';
import { invalid } from '../format/manifest-checks.ts';
import { ManifestFrames } from '../format/manifest-frames.ts';
import { manifestNameOf } from '../format/names.ts';
import { readEntries } from '../restore/list-entries.ts';
import { type Block, Group, Line, manifestBlocks, NEWLINE } from './blocks.ts';
import { isSameText, samePrefix } from './same-text.ts';

export class Side implements AsyncDisposable {
  readonly hasManifest: boolean;
  /** Entries of the archive, if a manifest says so. */
  readonly entries: number | undefined;
  readonly #where: string;
  readonly #frames: ManifestFrames | undefined;
  readonly #batches: AsyncGenerator<Iterable<Block>>;
  #blocks: Iterator<Block> = [][Symbol.iterator]();
  #block: Block | undefined;
  /** Where the current line begins in a group; its number in a list. */
  #at = 0;
  #line: Line | undefined;
  #last: ByteString | undefined;
  #isDone = false;

  private constructor(batches: AsyncGenerator<Iterable<Block>>, where: string, frames?: ManifestFrames) {
    this.#batches = batches;
    this.#where = where;
    this.#frames = frames;
    this.hasManifest = frames !== undefined;
    this.entries = frames?.summary.entries;
  }

  /** @throws {ArchiveError} ArchiveMissing, ArchiveUnreadable or ArchiveCorrupt. */
  static ofArchive(archive: string, signal: AbortSignal | undefined): Side {
    const info = archiveInfo(archive);
    refuseProblem(info, { corrupt: '. It cannot be compared.' });
    return info.summary
      ? Side.ofManifest(manifestNameOf(archive))
      : new Side(foreignBlocks(archive, signal), archive);
  }

  /** @throws {ArchiveError} ArchiveMissing, ArchiveUnreadable or ManifestInvalid. */
  static ofManifest(manifest: string): Side {
    const frames = new ManifestFrames(manifest);
    return new Side(manifestBlocks(frames, manifest), manifest, frames);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#batches.return(undefined);
    this.#frames?.[Symbol.dispose]();
  }

  /** To be awaited before anything else while there is one. */
  fill(): Promise<void> | undefined {
    return this.#block || this.#isDone || this.#nextBlock() ? undefined : this.#fill();
  }

  async #fill(): Promise<void> {
    do {
      const { value, done } = await this.#batches.next();
      if (done) {
        this.#isDone = true;
        return;
      }
      this.#blocks = value[Symbol.iterator]();
    } while (!this.#nextBlock());
  }

  /** Whether the frame has another block. */
  #nextBlock(): boolean {
    do {
      this.#block = this.#blocks.next().value;
      this.#at = this.#block instanceof Group ? this.#block.start : 0;
    } while (this.#block && !(this.#block instanceof Group) && this.#block.length === 0);
    return this.#block !== undefined;
  }

  /** Skips a whole group in both archives if it is the same. */
  skipSameGroup(other: Side): boolean {
    const [ours, theirs] = [this.#group(), other.#group()];
    if (this.#at !== ours?.start || other.#at !== theirs?.start || !ours.isSame(theirs)) return false;
    this.#endBlock();
    other.#endBlock();
    return true;
  }

  /** Skips the next lines of a group in both archives as far as they are the same, byte for byte. */
  skipSameLines(other: Side): boolean {
    const [ours, theirs] = [this.#group(), other.#group()];
    if (!ours || !theirs) return false;
    const [from, start] = [this.#at, other.#at];
    const length = ours.bytes.indexOf(NEWLINE, from) + 1 - from;
    if (!isSameText(ours.bytes, from, theirs.bytes, start, length)) return false;
    const most = Math.min(ours.end - from, theirs.end - start);
    const same = length + samePrefix(ours.bytes, from + length, theirs.bytes, start + length, most - length);
    const whole = same === most ? same : ours.bytes.lastIndexOf(NEWLINE, from + same - 1) + 1 - from;
    this.#move(whole);
    other.#move(whole);
    return true;
  }

  /** Skips a line in both archives if a restore of either makes the same of it. */
  skipSameLine(other: Side): boolean {
    const [line, counterpart] = [this.line, other.line];
    if (!line || !counterpart?.isSame(line)) return false;
    this.advance(false);
    other.advance(false);
    return true;
  }

  /** The current line; undefined at the end of the archive. */
  get line(): Line | undefined {
    if (this.#line || !this.#block) return this.#line;
    const group = this.#group();
    if (group) {
      this.#line = new Line(group.bytes, this.#at, group.bytes.indexOf(NEWLINE, this.#at), this.#where);
    } else this.#line = (this.#block as readonly Line[])[this.#at];
    return this.#line;
  }

  /** @param isOrdered Whether the line's path was looked at, so that its place can be checked. */
  advance(isOrdered: boolean): void {
    const { path, start, end } = this.line!;
    if (isOrdered) this.#checkOrder(path);
    this.#move(this.#group() ? end + 1 - start : 1);
  }

  #group(): Group | undefined {
    return this.#block instanceof Group ? this.#block : undefined;
  }

  #move(length: number): void {
    this.#line = undefined;
    this.#at += length;
    const end = this.#block instanceof Group ? this.#block.end : this.#block!.length;
    if (this.#at >= end) this.#endBlock();
  }

  #endBlock(): void {
    this.#block = undefined;
    this.#line = undefined;
  }

  /** @throws {ArchiveError} ManifestInvalid */
  #checkOrder(path: ByteString): void {
    if (this.#last !== undefined && compareWalkOrder(this.#last, path) >= 0) {
      throw invalid(this.#where, `'${display(path)}' is out of order`);
    }
    this.#last = path;
  }
}

/** Reads an archive without a manifest from end to end. Of a path that it has twice, tar restores the last. */
async function* foreignBlocks(
  archive: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Iterable<Block>> {
  const found = new Map<ByteString, Line>();
  await readEntries(
    archive,
    (entry) => {
      const bytes = Buffer.from(encodeEntry(entry));
      found.set(entry.path, new Line(bytes, 0, bytes.length - 1, archive));
    },
    signal,
  );
  const paths = [...found.keys()].sort(compareWalkOrder);
  yield [paths.map((path) => found.get(path)!)];
}
