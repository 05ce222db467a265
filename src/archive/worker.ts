import { parentPort } from 'node:worker_threads';
import { codeOf } from '../posix/system-error.ts';
import { ArchiveError, type Reason } from './errors.ts';
import { type Job, runJob } from './jobs.ts';

export interface Request {
  readonly id: number;
  readonly job: Job;
}

/** Errors lose their class between threads; what the other side needs travels as plain fields. */
export interface Failure {
  readonly message: string;
  readonly stack: string | undefined;
  readonly code: string | undefined;
  readonly reason: Reason | undefined;
}

export type Response =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly failure: Failure };

const port = parentPort!;

port.on('message', ({ id, job }: Request) => {
  try {
    const result = runJob(job);
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
