import { closeSync } from 'node:fs';
import { codeOf } from '../../posix/system-error.ts';
import type { GrowingFile } from '../destination/growing-file.ts';
import { ArchiveError } from '../errors.ts';
import { ALIGNMENT } from '../format/alignment.ts';
import type { ByteString } from '../format/byte-string.ts';
import type { Entry } from '../format/entry.ts';
import { encodeEntry, joinLines } from '../format/entry-line.ts';
import type { Member } from '../format/manifest.ts';
import type { ManifestWriter } from '../format/manifest-writer.ts';
import { readCompressedMember, readMember } from '../format/members.ts';
import { free } from '../format/memory.ts';
import { BLOCK, encodeHeader, packedSize } from '../format/tar-header.ts';
import type { WorkerPool } from '../pool/worker-pool.ts';
import { cut, PART_BYTES } from './chunker.ts';
import type { CreateJobs } from './jobs.ts';
import {
  describeContent,
  groupItem,
  type PackedGroup,
  type PackedMember,
  type PackSettings,
  packRaw,
} from './pack-member.ts';
import type { PackedPart } from './pack-part.ts';
import type { Previous, PreviousUnit } from './previous.ts';
import { describeOpen, openSource, READ_ATTEMPTS, storedXattrs, unchanged } from './source-file.ts';
import { type Found, readWarning, type Warning } from './walk.ts';

export interface PackTotals {
  members: number;
  entries: number;
  files: number;
  sourceBytes: number;
  reusedBytes: number;
}

export interface PackContext {
  readonly archive: GrowingFile;
  readonly manifest: ManifestWriter;
  readonly pool: WorkerPool<CreateJobs>;
  readonly settings: PackSettings;
  readonly previous: Previous | undefined;
  readonly signal: AbortSignal | undefined;
  readonly warn: (warning: Warning) => void;
  /** A member of the previous archive does not match its digest any more. */
  readonly corrupt: (member: Member) => void;
  readonly progress: (totals: PackTotals) => void;
  readonly failpoint: (name: string) => void;
}

/** Units that may wait in order behind one that is being packed; those that are copied hold their names only. */
const MAX_PENDING = 1024;

/** Units walked before answers of the threads are looked at. */
const UNITS_A_TURN = 8;

/** Compressed bytes handed out to be compared with the file while packing goes on. */
const CHECK_BYTES = 8 * 1024 * 1024;

type Pending =
  | { readonly kind: 'pack'; readonly items: readonly Found[]; readonly packed: Promise<PackedGroup> }
  | { readonly kind: 'reuse'; readonly items: readonly Found[]; readonly previous: PreviousUnit };

/**
 * Writes the members of a whole tar, in order, and their manifest lines. Reads back what it wrote: when
 * `pack` resolves, every member was compared with its digest.
 */
export class Packer {
  readonly totals: PackTotals = { members: 0, entries: 0, files: 0, sourceBytes: 0, reusedBytes: 0 };
  readonly #context: PackContext;
  readonly #pending: Pending[] = [];
  /** Units being packed, or packed and not yet written. */
  #packing = 0;
  readonly #window: number;
  /** Paths that could not be stored, and what took their place as the first name of their inode. */
  readonly #dropped = new Map<ByteString, ByteString | undefined>();
  #unchecked: Member[] = [];
  #uncheckedBytes = 0;
  readonly #checks: Promise<null>[] = [];

  constructor(context: PackContext) {
    this.#context = context;
    this.#window = 4 * context.pool.size + 4;
  }

  async pack(walk: Iterable<Found>): Promise<void> {
    const { previous, pool } = this.#context;
    let units = 0;
    for (const unit of cut(walk)) {
      this.#throwIfAborted();
      if (++units % UNITS_A_TURN === 0 && pool.pending > 0) await new Promise(setImmediate);
      const old = previous && (await previous.at(unit));
      const reusable = old && previous!.isUnchanged(unit, old) ? old : undefined;
      if (unit.kind === 'large') {
        await this.#drain(0, 0);
        await this.#large(unit.item, old, reusable !== undefined);
        continue;
      }
      if (reusable) this.#pending.push({ kind: 'reuse', items: unit.items, previous: reusable });
      else {
        this.#pending.push({ kind: 'pack', items: unit.items, packed: this.#send(unit.items) });
        this.#packing++;
      }
      await this.#drain(MAX_PENDING, this.#window);
    }
    await this.#drain(0, 0);
    this.#write('end', packRaw(Buffer.alloc(2 * BLOCK), this.#context.settings), '');
    this.#check();
    await this.#settleChecks(0);
  }

  #send(items: readonly Found[]): Promise<PackedGroup> {
    return this.#context.pool.run('group', {
      items: items.map(groupItem),
      settings: this.#context.settings,
    });
  }

  /** Writes from the front of the queue until no more wait than these; what is there already goes at once. */
  async #drain(pending: number, packing: number): Promise<void> {
    while (this.#pending.length > pending || this.#packing > packing || this.#pending[0]?.kind === 'reuse') {
      this.#throwIfAborted();
      const next = this.#pending.shift()!;
      if (next.kind === 'pack') this.#packing--;
      await this.#settle(next);
    }
  }

  async #settle(pending: Pending): Promise<void> {
    let { items } = pending;
    let group: PackedGroup | undefined;
    if (pending.kind === 'pack') group = await pending.packed;
    else if (!this.#dangles(items)) {
      const [member] = pending.previous.members;
      if (this.#copy(member!, joinLines(pending.previous.lines))) {
        const files = items.filter(({ entry }) => entry.type === 'file');
        const bytes = files.reduce((sum, { entry }) => sum + entry.size, 0);
        this.#count(items.length, files.length, bytes);
        return;
      }
    }
    group ??= await this.#send(this.#relink(items));
    for (;;) {
      for (const path of group.dropped) this.#dropped.set(path, undefined);
      if (!this.#dangles(items)) break;
      // Packed once more, without what is lost: its warnings would come twice.
      const lost = new Set(group.dropped);
      for (const warning of group.warnings) if (lost.has(warning.path)) this.#context.warn(warning);
      items = this.#relink(items.filter(({ entry }) => !lost.has(entry.path)));
      group = await this.#send(items);
    }
    await this.#writeGroup(group);
  }

  #dangles(items: readonly Found[]): boolean {
    return (
      this.#dropped.size > 0 &&
      items.some(({ entry }) => entry.type === 'hardlink' && this.#dropped.has(entry.link!))
    );
  }

  /** Where the first name of an inode could not be stored, the next one takes its place. */
  #relink(items: readonly Found[]): readonly Found[] {
    if (this.#dropped.size === 0) return items;
    return items.map((found): Found => {
      const { link: linked, ...entry } = found.entry;
      if (entry.type !== 'hardlink') return found;
      let link = linked!;
      while (this.#dropped.has(link)) {
        const next = this.#dropped.get(link);
        if (next === undefined) {
          this.#dropped.set(link, entry.path);
          return { ...found, entry: { ...entry, type: 'file' } };
        }
        link = next;
      }
      return { ...found, entry: { ...entry, type: 'hardlink', link } };
    });
  }

  async #writeGroup(group: PackedGroup): Promise<void> {
    // Before the group: it may hold further names of such a file.
    for (const item of group.outgrown) await this.#large(item, undefined, false);
    for (const warning of group.warnings) this.#context.warn(warning);
    if (group.entries > 0) this.#write('group', group, group.lines);
    this.#count(group.entries, group.files, group.sourceBytes);
  }

  async #large(item: Found, old: PreviousUnit | undefined, reusable: boolean): Promise<void> {
    const { archive } = this.#context;
    const before = archive.mark();
    if (reusable && this.#copyAll(old!)) {
      this.#count(1, 1, item.entry.size);
      return;
    }
    archive.rewind(before);
    let fd: number;
    try {
      fd = openSource(item.location);
    } catch (error) {
      this.#drop(readWarning(error, item.entry.path));
      return;
    }
    try {
      await this.#packLarge(item, fd, old);
    } catch (error) {
      if (!(error instanceof UnreadableSource)) throw error;
      archive.rewind(before);
      this.#drop(readWarning(error.cause, item.entry.path));
    } finally {
      closeSync(fd);
    }
  }

  async #packLarge(item: Found, fd: number, old: PreviousUnit | undefined): Promise<void> {
    const { archive, settings, warn } = this.#context;
    const start = archive.mark();
    for (let attempt = 1; ; attempt++) {
      const now = describeOpen(item.entry.path, fd);
      if (!now) {
        this.#drop({
          kind: 'vanished',
          path: item.entry.path,
          message: 'was replaced by something that is no file',
        });
        return;
      }
      const described = fromSource(() => describeContent(now.entry, fd, now.status.blocks));
      const xattrs = fromSource(() => storedXattrs(item.location));
      const parts = Math.ceil(packedSize(described) / PART_BYTES);
      const entry: Entry = { ...described, ...(xattrs ? { xattrs } : {}), parts };
      const header = this.#append('header', packRaw(encodeHeader(entry), settings, archive.position));
      const { members, complete, reused } = await this.#parts(entry, fd, parts, old);
      const steady = complete && unchanged(now.status, fd);
      if (!steady && attempt < READ_ATTEMPTS) {
        archive.rewind(start);
        continue;
      }
      if (!steady) {
        warn({
          kind: 'changed',
          path: entry.path,
          message: 'changed under every read; the stored content may mix states',
        });
      }
      this.#record(header, encodeEntry({ ...entry, ...(steady ? {} : { inconsistent: true as const }) }));
      for (const member of members) this.#record(member, '');
      this.totals.reusedBytes += reused;
      this.#count(1, 1, entry.size);
      return;
    }
  }

  /** Packs the slices of an open file in parallel and appends them in order. */
  async #parts(
    entry: Entry,
    fd: number,
    count: number,
    old: PreviousUnit | undefined,
  ): Promise<{ members: Member[]; complete: boolean; reused: number }> {
    const { pool, settings, progress } = this.#context;
    const known = old?.members[0]?.kind === 'header' ? old.members.slice(1) : [];
    const size = packedSize(entry);
    const ahead: Promise<PackedPart>[] = [];
    const members: Member[] = [];
    let complete = true;
    let reused = 0;
    let next = 0;
    const send = (index: number, known?: string) => {
      const start = index * PART_BYTES;
      const length = Math.min(PART_BYTES, size - start);
      return pool.run('part', { fd, entry, start, length, known, settings });
    };
    try {
      for (let index = 0; index < count; index++) {
        for (; next < count && ahead.length < pool.size + 2; next++) {
          ahead.push(send(next, known[next]?.rawSha256));
        }
        this.#throwIfAborted();
        let part = await ahead.shift()!.catch(unreadable);
        complete &&= part.complete;
        const copied = part.member ? undefined : this.#appendCopy(known[index]!);
        if (copied) {
          members.push(copied);
          reused += copied.size;
        } else {
          if (!part.member) {
            part = await send(index).catch(unreadable);
            complete &&= part.complete;
          }
          members.push({ ...this.#append('part', part.member!), rawSha256: part.rawSha256 });
        }
        progress({
          ...this.totals,
          sourceBytes: this.totals.sourceBytes + Math.min(entry.size, next * PART_BYTES),
        });
      }
    } finally {
      // The descriptor may be closed only once no thread reads from it.
      await Promise.allSettled(ahead);
    }
    return { members, complete, reused };
  }

  #drop(warning: Warning): void {
    this.#context.warn(warning);
    this.#dropped.set(warning.path, undefined);
  }

  /** Copies one member and its entries. False, with nothing written, where the old bytes are damaged. */
  #copy(member: Member, lines: string): boolean {
    const copied = this.#appendCopy(member);
    if (!copied) return false;
    this.totals.reusedBytes += copied.size;
    this.#record(copied, lines);
    return true;
  }

  /** Copies a large file whole. On false some of it is appended: rewind. */
  #copyAll({ members, lines }: PreviousUnit): boolean {
    const copies: Member[] = [];
    for (const member of members) {
      this.#throwIfAborted();
      const copied = this.#appendCopy(member);
      if (!copied) return false;
      copies.push(copied);
    }
    copies.forEach((member, index) => {
      this.#record(member, index === 0 ? joinLines(lines) : '');
      this.totals.reusedBytes += member.size;
    });
    return true;
  }

  /** Rot must not travel on: only bytes with the recorded digest are appended; undefined where they are not. */
  #appendCopy(member: Member): Member | undefined {
    const { previous, corrupt, archive, settings } = this.#context;
    const { fd } = previous!;
    const offset = archive.position;
    try {
      // What follows a header begins on a block.
      if (member.kind === 'header' && (offset + member.size) % ALIGNMENT !== 0) {
        return this.#append(
          'header',
          packRaw(readMember(fd, member, settings.compression), settings, offset),
        );
      }
      const bytes = readCompressedMember(fd, member);
      if (member.kind === 'part') archive.appendShared(bytes, fd, member.offset);
      else archive.append(bytes);
      return { ...member, offset };
    } catch (error) {
      if (!(error instanceof ArchiveError) || error.reason !== 'ArchiveCorrupt') throw error;
      corrupt(member);
      return undefined;
    }
  }

  #write(kind: Member['kind'], packed: PackedMember, lines: string): void {
    this.#record(this.#append(kind, packed), lines);
  }

  /** Frees the member's memory. */
  #append(kind: Member['kind'], { data, rawSize, sha256 }: PackedMember): Member {
    const { archive } = this.#context;
    const member = { kind, offset: archive.position, size: data.byteLength, rawSize, sha256 };
    archive.append(data);
    free(data);
    return member;
  }

  #record(member: Member, lines: string): void {
    this.#context.manifest.add(member, lines);
    this.totals.members++;
    this.#unchecked.push(member);
    this.#uncheckedBytes += member.size;
    if (this.#uncheckedBytes >= CHECK_BYTES) this.#check();
    this.#context.failpoint('member');
  }

  #check(): void {
    const { pool, archive, settings } = this.#context;
    const members = this.#unchecked.map((member) => ({ member, lines: '' }));
    this.#unchecked = [];
    this.#uncheckedBytes = 0;
    if (members.length > 0) {
      const { compression } = settings;
      const job = { path: archive.path, members, compression, deep: false } as const;
      this.#checks.push(pool.run('verify', job));
    }
  }

  async #settleChecks(limit: number): Promise<void> {
    while (this.#checks.length > limit) {
      this.#throwIfAborted();
      await this.#checks.shift();
    }
  }

  #count(entries: number, files: number, bytes: number): void {
    this.totals.entries += entries;
    this.totals.files += files;
    this.totals.sourceBytes += bytes;
    this.#context.progress(this.totals);
  }

  #throwIfAborted(): void {
    this.#context.signal?.throwIfAborted();
  }
}

/** A large file that cannot be read; `cause` is the system's error. */
class UnreadableSource extends Error {}

/** A part job reads the source and nothing else, so an error of the system is the source's. */
function unreadable(error: unknown): never {
  if (codeOf(error) === undefined) throw error;
  throw new UnreadableSource('a source file cannot be read', { cause: error });
}

function fromSource<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    return unreadable(error);
  }
}
