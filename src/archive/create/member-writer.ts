import { isSystemError } from '../../posix/system-error.ts';
import type { GrowingFile, Mark } from '../destination/growing-file.ts';
import { ArchiveError } from '../errors.ts';
import { ALIGNMENT } from '../format/alignment.ts';
import type { Member } from '../format/manifest.ts';
import type { ManifestWriter } from '../format/manifest-writer.ts';
import { readCompressedMember, readMember } from '../format/members.ts';
import { free } from '../format/memory.ts';
import type { WorkerPool } from '../pool/worker-pool.ts';
import type { CreateJobs } from './jobs.ts';
import { type PackedMember, type PackSettings, packRaw } from './pack-member.ts';
import type { Previous } from './previous.ts';

export interface MemberWriterContext {
  readonly archive: GrowingFile;
  readonly manifest: ManifestWriter;
  readonly pool: WorkerPool<CreateJobs>;
  readonly settings: PackSettings;
  readonly previous: Previous | undefined;
  /** Called for each member of the previous archive that cannot be read or does not match its digest. */
  readonly corrupt: (member: Member) => void;
  readonly signal: AbortSignal | undefined;
  readonly failpoint: (name: string) => void;
}

/** After this many compressed bytes, what was written is compared with the file while packing goes on. */
const CHECK_BYTES = 8 * 1024 * 1024;

/** Members of a large file copied between two looks at signals. */
const COPIES_A_TURN = 8;

/**
 * Appends members to the archive, and their lines to the manifest. What was written is read back by the worker
 * threads and compared with its digests.
 */
export class MemberWriter {
  members = 0;
  readonly #context: MemberWriterContext;
  #unchecked: Member[] = [];
  #uncheckedBytes = 0;
  readonly #checks: Promise<null>[] = [];

  constructor(context: MemberWriterContext) {
    this.#context = context;
  }

  get position(): number {
    return this.#context.archive.position;
  }

  mark(): Mark {
    return this.#context.archive.mark();
  }

  /** Removes what was appended since `mark`. None of it may have been recorded. */
  rewind(mark: Mark): void {
    this.#context.archive.rewind(mark);
  }

  /** Appends a member, to be recorded later, and frees its memory. */
  append(kind: Member['kind'], { data, rawSize, sha256 }: PackedMember): Member {
    const { archive } = this.#context;
    const member = { kind, offset: archive.position, size: data.byteLength, rawSize, sha256 };
    archive.append(data);
    free(data);
    return member;
  }

  /**
   * Appends a member of the previous archive if its bytes still have the recorded digest, so that damage does not
   * spread to new archives.
   * @returns undefined if nothing was appended
   */
  appendCopy(member: Member): Member | undefined {
    const { previous, corrupt, archive, settings } = this.#context;
    const { fd } = previous!;
    const offset = archive.position;
    try {
      // What follows a header begins on a block boundary.
      if (member.kind === 'header' && (offset + member.size) % ALIGNMENT !== 0) {
        const raw = readMember(fd, member, settings.compression);
        return this.append('header', packRaw(raw, settings, offset));
      }
      const bytes = readCompressedMember(fd, member);
      if (member.kind === 'part') archive.appendShared(bytes, fd, member.offset);
      else archive.append(bytes);
      return { ...member, offset };
    } catch (error) {
      // Errors of the archive being written are ArchiveErrors with other reasons.
      const ofPrevious =
        error instanceof ArchiveError ? error.reason === 'ArchiveCorrupt' : isSystemError(error);
      if (!ofPrevious) throw error;
      corrupt(member);
      return undefined;
    }
  }

  /** Appends all members of a unit of the previous archive, or none if one is corrupt. */
  async copy(members: readonly Member[], lines: string): Promise<{ bytes: number } | undefined> {
    const before = members.length > 1 ? this.mark() : undefined;
    const copies: Member[] = [];
    for (const member of members) {
      if (copies.length % COPIES_A_TURN === COPIES_A_TURN - 1) await new Promise(setImmediate);
      this.#context.signal?.throwIfAborted();
      const copied = this.appendCopy(member);
      if (!copied) {
        if (before) this.rewind(before);
        return undefined;
      }
      copies.push(copied);
    }
    for (const [index, member] of copies.entries()) this.record(member, index === 0 ? lines : '');
    return { bytes: copies.reduce((sum, { size }) => sum + size, 0) };
  }

  write(kind: Member['kind'], packed: PackedMember, lines: string): void {
    this.record(this.append(kind, packed), lines);
  }

  record(member: Member, lines: string): void {
    this.#context.manifest.add(member, lines);
    this.members++;
    this.#unchecked.push(member);
    this.#uncheckedBytes += member.size;
    if (this.#uncheckedBytes >= CHECK_BYTES) this.#check();
    this.#context.failpoint('member');
  }

  /** Resolves when everything was compared. @throws {ArchiveError} ArchiveCorrupt when something differs */
  async finishChecks(): Promise<void> {
    this.#check();
    for (const check of this.#checks.splice(0)) await check;
  }

  #check(): void {
    const { pool, archive, settings } = this.#context;
    const members = this.#unchecked.map((member) => ({ member, lines: '' }));
    this.#unchecked = [];
    this.#uncheckedBytes = 0;
    if (members.length === 0) return;
    const { compression } = settings;
    this.#checks.push(pool.run('verify', { path: archive.path, members, compression, deep: false }));
  }
}
