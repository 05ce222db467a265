/** Comparing stretches of two buffers in native code: a loop in JavaScript takes ten times as long. */

/** Whether `length` bytes from `from` in `a` and from `start` in `b` exist and are the same. */
export function isSameText(a: Buffer, from: number, b: Buffer, start: number, length: number): boolean {
  if (from + length > a.length || start + length > b.length) return false;
  return a.compare(b, start, start + length, from, from + length) === 0;
}

/** The first stretch that is compared; each next one is twice as long. */
const FIRST = 512;

/** How many of the next `most` bytes are the same. */
export function samePrefix(a: Buffer, from: number, b: Buffer, start: number, most: number): number {
  const isSame = (at: number, length: number) => isSameText(a, from + at, b, start + at, length);
  let same = 0;
  let step = Math.min(FIRST, most);
  for (; step > 0 && isSame(same, step); step = Math.min(2 * step, most - same)) same += step;
  // They differ within the next `step` bytes.
  while (step > 1) {
    const half = step >> 1;
    if (isSame(same, half)) {
      same += half;
      step -= half;
    } else step = half;
  }
  return same;
}
