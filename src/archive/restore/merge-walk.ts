import { type ByteString, compareWalkOrder } from '../format/byte-string.ts';

interface At {
  readonly path: ByteString;
}

/** Thrown when a list is not in walk order, as that of a foreign tar may be. */
export class OutOfOrder extends Error {}

/**
 * Pairs the entries of two lists in walk order by their paths. Holds one batch at a time.
 *
 * @param visit Gets each path once, with what either list has there.
 * @throws {OutOfOrder} When `recorded` is not in walk order, or has a path twice.
 */
export async function mergeWalk<Recorded extends At, Live extends At>(
  recorded: AsyncIterable<readonly Recorded[]> | Iterable<readonly Recorded[]>,
  live: Iterator<Live>,
  visit: (recorded: Recorded | undefined, live: Live | undefined) => void,
): Promise<void> {
  let next = live.next();
  let last: ByteString | undefined;
  for await (const batch of recorded) {
    for (const entry of batch) {
      if (last !== undefined && compareWalkOrder(last, entry.path) >= 0) throw new OutOfOrder();
      last = entry.path;
      let order = -1;
      while (!next.done) {
        order = compareWalkOrder(next.value.path, entry.path);
        if (order >= 0) break;
        visit(undefined, next.value);
        next = live.next();
      }
      if (next.done || order > 0) visit(entry, undefined);
      else {
        visit(entry, next.value);
        next = live.next();
      }
    }
  }
  for (; !next.done; next = live.next()) visit(undefined, next.value);
}
