import type { GrowingFile } from '../destination/growing-file.ts';
import { joinLines } from '../format/entry-line.ts';
import { BLOCK } from '../format/tar-header.ts';
import { splitIntoUnits, type Unit } from './chunker.ts';
import { LostFirstNames } from './first-names.ts';
import { packLargeFile } from './large-file.ts';
import { MemberWriter, type MemberWriterContext } from './member-writer.ts';
import { groupItem, type PackedGroup, packRaw } from './pack-member.ts';
import type { PreviousUnit } from './previous.ts';
import type { Found } from './walk.ts';
import type { Warn } from './warning.ts';

export interface PackTotals {
  members: number;
  entries: number;
  files: number;
  sourceBytes: number;
  reusedBytes: number;
}

export interface PackContext extends MemberWriterContext {
  readonly archive: GrowingFile;
  /** Descriptor of the source directory. */
  readonly root: number;
  readonly warn: Warn;
  readonly progress: (totals: PackTotals) => void;
}

/** How many units may wait behind one that is being packed. Units to be copied hold only names. */
const MAX_PENDING = 1024;

/** Units walked before the threads' answers are handled again. */
const UNITS_A_TURN = 8;

type Pending =
  | { readonly kind: 'pack'; readonly items: readonly Found[]; readonly packed: Promise<PackedGroup> }
  | { readonly kind: 'reuse'; readonly items: readonly Found[]; readonly previous: PreviousUnit };

/**
 * Writes the members of a whole tar in walk order, no matter which thread finishes first. When `pack` resolves, every
 * member was read back and compared with its digest.
 */
export class Packer {
  readonly totals: PackTotals = { members: 0, entries: 0, files: 0, sourceBytes: 0, reusedBytes: 0 };
  readonly #context: PackContext;
  readonly #writer: MemberWriter;
  readonly #pending: Pending[] = [];
  /** Pending units of kind `pack`. */
  #packing = 0;
  readonly #maxPacking: number;
  readonly #lost = new LostFirstNames();

  constructor(context: PackContext) {
    this.#context = context;
    this.#writer = new MemberWriter(context);
    this.#maxPacking = 4 * context.pool.size + 4;
  }

  async pack(walk: Iterable<Found>): Promise<void> {
    const { pool, settings } = this.#context;
    let units = 0;
    for (const unit of splitIntoUnits(walk)) {
      this.#throwIfAborted();
      if (++units % UNITS_A_TURN === 0 && pool.pending > 0) await new Promise(setImmediate);
      await this.#add(unit);
    }
    await this.#drain(0, 0);
    this.#writer.write('end', packRaw(Buffer.alloc(2 * BLOCK), settings), '');
    await this.#writer.finishChecks();
    this.totals.members = this.#writer.members;
  }

  async #add(unit: Unit): Promise<void> {
    const { previous } = this.#context;
    const old = previous && (await previous.at(unit));
    const isReusable = old !== undefined && previous!.isUnchanged(unit, old);
    if (unit.kind === 'large') {
      await this.#drain(0, 0);
      await this.#large(unit.item, old, isReusable);
      return;
    }
    const { items } = unit;
    if (isReusable) this.#pending.push({ kind: 'reuse', items, previous: old });
    else {
      this.#pending.push({ kind: 'pack', items, packed: this.#send(items) });
      this.#packing++;
    }
    await this.#drain(MAX_PENDING, this.#maxPacking);
  }

  #send(items: readonly Found[]): Promise<PackedGroup> {
    const { pool, root, settings } = this.#context;
    return pool.run('group', { root, items: items.map(groupItem), settings });
  }

  /** Writes units from the front of the queue until at most `maxPending` wait. Units to be copied are always written. */
  async #drain(maxPending: number, maxPacking: number): Promise<void> {
    while (
      this.#pending.length > maxPending ||
      this.#packing > maxPacking ||
      this.#pending[0]?.kind === 'reuse'
    ) {
      this.#throwIfAborted();
      const next = this.#pending.shift()!;
      if (next.kind === 'pack') this.#packing--;
      await this.#write(next);
    }
  }

  async #write(pending: Pending): Promise<void> {
    let { items } = pending;
    if (pending.kind === 'reuse') {
      if (!this.#lost.affect(items) && (await this.#copy(items, pending.previous))) return;
      items = this.#lost.relink(items);
    }
    let group = pending.kind === 'pack' ? await pending.packed : await this.#send(items);
    for (;;) {
      const gone = await this.#noteLosses(items, group);
      if (!this.#lost.affect(items)) break;
      // Packed once more, with links that hold. Warnings about the rest of the group come again with the next one.
      for (const warning of group.warnings) if (gone.has(warning.path)) this.#context.warn(warning);
      items = this.#lost.relink(items.filter(({ entry }) => !gone.has(entry.path)));
      group = await this.#send(items);
    }
    for (const warning of group.warnings) this.#context.warn(warning);
    if (group.entries > 0) this.#writer.write('group', group, group.lines);
    this.#count(group.entries, group.files, group.sourceBytes);
  }

  /**
   * Writes the files that outgrew a group, before it: links in it may lead to them.
   * @returns paths of the entries that the group does not hold
   */
  async #noteLosses(items: readonly Found[], group: PackedGroup): Promise<ReadonlySet<string>> {
    const outgrown = new Set<string>(group.outgrown);
    for (const item of items) if (outgrown.has(item.entry.path)) await this.#large(item, undefined, false);
    for (const path of [...group.dropped, ...group.replaced]) this.#lost.add(path);
    return new Set<string>([...group.dropped, ...group.outgrown]);
  }

  async #large(item: Found, old: PreviousUnit | undefined, isReusable: boolean): Promise<void> {
    if (isReusable && (await this.#copy([item], old!))) return;
    const { totals } = this;
    const stored = await packLargeFile(
      {
        ...this.#context,
        writer: this.#writer,
        progress: (bytes) => this.#context.progress({ ...totals, sourceBytes: totals.sourceBytes + bytes }),
      },
      item,
      old,
    );
    if (!stored || stored.replaced) this.#lost.add(item.entry.path);
    if (!stored) return;
    totals.reusedBytes += stored.reusedBytes;
    this.#count(1, 1, stored.size);
  }

  /** False, with nothing written, if the previous archive's bytes are corrupt. */
  async #copy(items: readonly Found[], { members, lines }: PreviousUnit): Promise<boolean> {
    const copied = await this.#writer.copy(members, joinLines(lines));
    if (!copied) return false;
    this.totals.reusedBytes += copied.bytes;
    const files = items.filter(({ entry }) => entry.type === 'file');
    const bytes = files.reduce((sum, { entry }) => sum + entry.size, 0);
    this.#count(items.length, files.length, bytes);
    return true;
  }

  #count(entries: number, files: number, bytes: number): void {
    const { totals } = this;
    totals.members = this.#writer.members;
    totals.entries += entries;
    totals.files += files;
    totals.sourceBytes += bytes;
    this.#context.progress(totals);
  }

  #throwIfAborted(): void {
    this.#context.signal?.throwIfAborted();
  }
}
