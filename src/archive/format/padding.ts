import { readSync } from 'node:fs';

const ZEROS = Buffer.alloc(1 << 20);

/** Whether nothing but zeros follows `from`, as after a copy through tape or dd. Stops at the first other byte. */
export function endsInZeros(fd: number, from: number): boolean {
  const chunk = Buffer.allocUnsafe(ZEROS.length);
  for (let at = from; ; ) {
    const count = readSync(fd, chunk, 0, chunk.length, at);
    if (count === 0) return true;
    if (!chunk.subarray(0, count).equals(ZEROS.subarray(0, count))) return false;
    at += count;
  }
}
