import type { ByteString } from '../format/byte-string.ts';
import type { RestorePolicy } from './entry-gate.ts';
import type { RestoreProgress } from './progress.ts';
import type { ReuseSettings } from './reuse.ts';

export interface StageOptions {
  readonly policy: RestorePolicy;
  /** Set the recorded owners. */
  readonly owner: boolean;
  readonly signal: AbortSignal | undefined;
  /** @param kind Warnings of one kind are counted together and only the first few are kept. */
  readonly warn: (path: ByteString, message: string, kind?: string) => void;
  readonly progress: (progress: RestoreProgress) => void;
  /** Gets the bytes of files written so far. */
  readonly written?: (bytes: number) => void;
  /** How unchanged files are taken over from the live tree; undefined: every file is unpacked. */
  readonly reuse?: ReuseSettings | undefined;
  /** Files that will move from the live tree into the restored one. */
  readonly preserved: readonly ByteString[];
}
