import { hash as digest } from 'node:crypto';

/** A number below 2^32, evenly distributed, that depends only on the seed and the field. */
function hash(seed: string, field: string): number {
  return digest('sha256', `${seed}\n${field}`, 'buffer').readUInt32BE(0);
}

const token = /^H(?:\((\d+)-(\d+)\))?(?:\/(\d+))?$/;

/**
 * Replaces `H`, `H(a-b)`, `H/n` and `H(a-b)/n` in one cron field with plain values, as Jenkins does: the same seed
 * always gets the same values, and different seeds spread over the range.
 *
 * @throws {RangeError} When the range is empty or outside the field; the message is a sentence for the reader.
 */
export function expandHashed(
  text: string,
  field: { name: string; min: number; max: number },
  seed: string,
): string {
  return text
    .split(',')
    .map((item) => {
      const match = token.exec(item);
      if (!match) return item;
      const low = match[1] === undefined ? field.min : Number(match[1]);
      const high = match[2] === undefined ? field.max : Number(match[2]);
      if (low > high || low < field.min || high > field.max) {
        throw new RangeError(`${item} must lie within ${field.min}-${field.max}`);
      }
      const size = high - low + 1;
      const number = hash(seed, field.name);
      if (match[3] === undefined) return String(low + (number % size));
      const step = Number(match[3]);
      if (step < 1) throw new RangeError(`the step of ${item} must be at least 1`);
      const values: number[] = [];
      for (let value = low + (number % Math.min(step, size)); value <= high; value += step)
        values.push(value);
      return values.join(',');
    })
    .join(',');
}
