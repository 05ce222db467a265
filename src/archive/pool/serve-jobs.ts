import { parentPort } from 'node:worker_threads';
import { codeOf } from '../../posix/system-error.ts';
import { ArchiveError } from '../errors.ts';
import type { Failure, Jobs, Request, Response } from './protocol.ts';

/** Runs in a worker thread: answers each request with what its job returns or throws. */
export function serveJobs(jobs: Jobs): void {
  const port = parentPort!;
  port.on('message', ({ id, kind, input }: Request) => {
    try {
      const result = (jobs[kind] as (input: unknown) => unknown)(input);
      port.postMessage({ id, result } satisfies Response, transferables(result));
    } catch (error) {
      const failure: Failure = {
        message: error instanceof Error ? error.message : String(error),
        stack: error instanceof Error ? error.stack : undefined,
        code: codeOf(error),
        reason: error instanceof ArchiveError ? error.reason : undefined,
      };
      port.postMessage({ id, failure } satisfies Response);
    }
  });
}

/** Buffers of a result, or of its `member`, that can be moved to the main thread instead of copied. */
function transferables(result: unknown): ArrayBuffer[] {
  if (typeof result !== 'object' || result === null) return [];
  const member = 'member' in result ? result.member : result;
  if (typeof member !== 'object' || member === null || !('data' in member)) return [];
  const { data } = member;
  return data instanceof Uint8Array &&
    data.buffer instanceof ArrayBuffer &&
    data.byteLength === data.buffer.byteLength
    ? [data.buffer]
    : [];
}
