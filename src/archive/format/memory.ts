import { isMarkedAsUntransferable } from 'node:worker_threads';

/**
 * Frees the buffer's memory at once. Otherwise it stays until a garbage collection, which is rare in a thread with a
 * small heap. Nothing may use the bytes afterwards. Calling it again does nothing.
 */
export function free({ buffer }: Uint8Array<ArrayBuffer>): void {
  // Small buffers share memory that Node.js marks as untransferable.
  if (!buffer.detached && !isMarkedAsUntransferable(buffer)) buffer.transfer(0);
}

/** The same buffer if it is large enough; otherwise frees it and returns a larger one. The content is undefined. */
export function withRoom(buffer: Buffer<ArrayBuffer>, size: number): Buffer<ArrayBuffer> {
  if (buffer.length >= size) return buffer;
  free(buffer);
  return Buffer.allocUnsafeSlow(size);
}
