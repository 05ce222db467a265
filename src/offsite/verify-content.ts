/** Reads every byte of a copy and compares it with the manifest, each pack once, without room for the archive. */
import { hash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ArchiveError, readMemberLines } from '../archive/index.ts';
import { type FetchOptions, fetchManifest } from './fetch.ts';
import type { ArchiveList } from './list-file.ts';
import { piecesOf, readPieces } from './pack-reader.ts';

const DIGEST = 32;

/**
 * The manifest covers the archive without a gap, so that members which have their digests are the archive.
 * @param progress takes the bytes that were compared
 * @throws {ArchiveError} ArchiveCorrupt, PackMissing, IdentityMismatch
 */
export async function verifyContent(
  options: FetchOptions,
  list: ArchiveList,
  progress?: (bytes: number) => void,
): Promise<void> {
  const members = await digestsOf(options, list);
  let done = 0;
  await readPieces(options, list, piecesOf(list.runs), ({ pack, position, length }, bytes) => {
    let index = members.at(position);
    for (let at = 0; at < length; index++) {
      const size = members.sizes[index] ?? 0;
      const isWhole = members.positions[index] === position + at && at + size <= length && size > 0;
      if (!isWhole) throw corrupt('its list and its manifest do not belong together');
      const digest = hash('sha256', bytes.subarray(at, at + size), 'buffer');
      if (!digest.equals(members.digests.subarray(index * DIGEST, (index + 1) * DIGEST))) {
        throw corrupt(`pack ${pack} was altered or exchanged: a member in it does not have its digest`);
      }
      at += size;
    }
    done += length;
    progress?.(done);
  });
}

/** What the manifest says of each member, at 44 bytes a member. */
class MemberTable {
  readonly sizes: Uint32Array;
  readonly positions: Float64Array;
  readonly digests: Buffer;
  #length = 0;

  constructor(members: number) {
    this.sizes = new Uint32Array(members);
    this.positions = new Float64Array(members);
    this.digests = Buffer.alloc(members * DIGEST);
  }

  add({
    offset,
    size,
    sha256,
  }: {
    readonly offset: number;
    readonly size: number;
    readonly sha256: string;
  }): void {
    this.sizes[this.#length] = size;
    this.positions[this.#length] = offset;
    this.digests.write(sha256, this.#length * DIGEST, 'hex');
    this.#length++;
  }

  /** The first member at or after a position. */
  at(position: number): number {
    let low = 0;
    let high = this.#length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.positions[middle]! < position) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

async function digestsOf(options: FetchOptions, list: ArchiveList): Promise<MemberTable> {
  const directory = mkdtempSync(path.join(tmpdir(), 'km-backup-'));
  try {
    const file = path.join(directory, 'manifest');
    const { members } = await fetchManifest(options, list, file);
    if (members > list.sizeBytes)
      throw corrupt('its manifest counts more members than the archive has bytes');
    const table = new MemberTable(members);
    for await (const { member } of readMemberLines(file)) table.add(member);
    return table;
  } catch (error) {
    if (error instanceof ArchiveError && error.reason === 'ManifestInvalid') {
      throw corrupt(`its manifest is damaged: ${error.message}`);
    }
    throw error;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function corrupt(what: string): ArchiveError {
  return new ArchiveError('ArchiveCorrupt', what);
}
