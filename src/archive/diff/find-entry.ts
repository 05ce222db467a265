/** Finds one entry in a manifest without reading all of it: frames are in walk order, and each is compressed alone. */
import { type ByteString, compareWalkOrder } from '../format/byte-string.ts';
import type { ManifestFrames } from '../format/manifest-frames.ts';
import { Blocks, Group, Line, linesOf } from './blocks.ts';
import type { Recorded } from './compare.ts';

/** @throws {ArchiveError} ManifestInvalid or ArchiveUnreadable. */
export async function findEntry(
  frames: ManifestFrames,
  path: ByteString,
  where: string,
): Promise<Recorded | undefined> {
  const { from, to } = await framesAround(frames, path, where);
  const blocks = new Blocks(where);
  for (let index = from; index <= to; index++) {
    const found = lineOf(path, blocks.of(await frames.text(index)), where);
    if (found) return found.recorded;
  }
  return lineOf(path, blocks.rest(), where)?.recorded;
}

function lineOf(
  path: ByteString,
  blocks: Iterable<Group | readonly Line[]>,
  where: string,
): Line | undefined {
  for (const block of blocks) {
    const lines = block instanceof Group ? linesOf(block, where) : block;
    const found = lines.find((line) => line.path === path);
    if (found) return found;
  }
  return undefined;
}

/**
 * The frames that can hold a path. Frames are compared by the first entry of their first group. A large file may stand
 * at the end of the frame before its group, or at the start of the frame after its place.
 */
async function framesAround(frames: ManifestFrames, path: ByteString, where: string) {
  const keys = new Map<number, ByteString | undefined>();
  const keyOf = async (index: number) => {
    if (!keys.has(index)) keys.set(index, firstInGroup(await frames.text(index), where));
    return keys.get(index);
  };
  /** The nearest frame with a group, from `index` on. */
  const nearest = async (index: number, step: 1 | -1) => {
    let at = index;
    while (at >= 0 && at < frames.length && (await keyOf(at)) === undefined) at += step;
    return at;
  };
  let low = 0;
  let high = frames.length;
  // Frames before `low` begin at or before the path, those from `high` on after it.
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const at = await nearest(middle, 1);
    const key = at < high ? await keyOf(at) : undefined;
    if (key !== undefined && compareWalkOrder(key, path) <= 0) low = at + 1;
    else high = middle;
  }
  const own = await nearest(low - 1, -1);
  return {
    from: Math.max(0, await nearest(own - 1, -1)),
    to: Math.min(frames.length - 1, await nearest(low, 1)),
  };
}

function firstInGroup(bytes: Buffer, where: string): ByteString | undefined {
  for (const block of new Blocks(where).of(bytes)) {
    if (block instanceof Group) return firstLine(block, where).path;
  }
  return undefined;
}

function firstLine({ bytes, start }: Group, where: string): Line {
  return new Line(bytes, start, bytes.indexOf('\n', start), where);
}
