import { isMarkedAsUntransferable } from 'node:worker_threads';

/**
 * Gives the memory back at once. Else it waits for a garbage collection, which a thread with a small heap rarely
 * makes. The bytes must be in nobody's use. Harmless when called again.
 */
export function free({ buffer }: Uint8Array<ArrayBuffer>): void {
  // Small ones lie in memory that Node.js shares out, and marks so.
  if (!buffer.detached && !isMarkedAsUntransferable(buffer)) buffer.transfer(0);
}

/** The buffer, or a larger one for which it is freed; the content is undefined. */
export function withRoom(buffer: Buffer<ArrayBuffer>, size: number): Buffer<ArrayBuffer> {
  if (buffer.length >= size) return buffer;
  free(buffer);
  return Buffer.allocUnsafeSlow(size);
}
