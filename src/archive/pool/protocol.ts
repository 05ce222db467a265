/** The messages between the main thread and its worker threads. */
import type { Reason } from '../errors.ts';

/** Functions that a worker thread runs, by name. Inputs and results are copied between threads. */
export type Jobs = Readonly<Record<string, (input: never) => unknown>>;

export interface Request {
  readonly id: number;
  readonly kind: string;
  readonly input: unknown;
}

/** An error as plain fields, because errors lose their class between threads. */
export interface Failure {
  readonly message: string;
  readonly stack: string | undefined;
  readonly code: string | undefined;
  readonly reason: Reason | undefined;
}

export type Response =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly failure: Failure };

/** The module that each worker thread runs: `archive/worker`, which knows all jobs. */
export const WORKER_ENTRY = new URL(`../worker${import.meta.url.slice(-3)}`, import.meta.url);
