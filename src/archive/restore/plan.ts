import { createHash } from 'node:crypto';
import { type ByteString, display, ROOT } from '../format/byte-string.ts';
import { dataBytes, type Entry } from '../format/entry.ts';
import { differences, isUnchanged } from './compare-entry.ts';
import type { LiveEntry } from './live-tree.ts';

/** What a restore would do to the entries of its target. */
export interface PlannedChanges {
  /** Hex SHA-256 over the archive and every change. */
  readonly digest: string;
  readonly added: number;
  readonly changed: number;
  readonly removed: number;
  readonly kept: number;
  /** Content that has to be unpacked, without holes. */
  readonly bytesToWrite: number;
  /** First paths of each kind: `+ path`, `~ path`, `- path`; escaped and bounded. */
  readonly samples: readonly string[];
}

export interface PlanOptions {
  /** Identifies the archive: hex SHA-256 of its manifest, or of itself if it has none. */
  readonly archiveDigest: string;
  /** See `settledBefore`. */
  readonly settled: bigint;
  /** Paths of the live tree that survive though the archive does not have them: archives, and their directories. */
  readonly preserved: ReadonlySet<ByteString>;
}

type Kind = '+' | '~' | '-';
const KINDS: readonly Kind[] = ['+', '~', '-'];
const MAX_SAMPLES = 7;

/** Adds up a plan from pairs of recorded and live entries, in walk order. Pure. */
export class PlanBuilder {
  readonly #options: PlanOptions;
  readonly #hash = createHash('sha256');
  readonly #counts: Record<Kind, number> = { '+': 0, '~': 0, '-': 0 };
  readonly #samples: Record<Kind, string[]> = { '+': [], '~': [], '-': [] };
  #kept = 0;
  #bytesToWrite = 0;
  /** Live directories that the archive does not list, innermost last: it may still have something below them. */
  readonly #unlisted: ByteString[] = [];

  constructor(options: PlanOptions) {
    this.#options = options;
    this.#hash.update(`${options.archiveDigest}\n`);
  }

  /** @param recorded As it would be restored: without what the policy leaves out. */
  readonly add = (recorded: Entry | undefined, live: LiveEntry | undefined): void => {
    if (!recorded) {
      if (live) this.#addUnlisted(live);
      return;
    }
    this.#leave(recorded.path);
    // Whatever is above it is restored too.
    this.#unlisted.length = 0;
    const same = live !== undefined && isUnchanged(recorded, live, this.#options.settled);
    if (recorded.type === 'file' && !same) this.#bytesToWrite += dataBytes(recorded);
    if (!live) this.#count('+', recorded.path);
    else if (same || differences(recorded, live).length === 0) this.#kept++;
    else this.#count('~', recorded.path);
  };

  finish(): PlannedChanges {
    this.#leave(undefined);
    return {
      digest: this.#hash.digest('hex'),
      added: this.#counts['+'],
      changed: this.#counts['~'],
      removed: this.#counts['-'],
      kept: this.#kept,
      bytesToWrite: this.#bytesToWrite,
      samples: KINDS.flatMap((kind) => this.#samples[kind]),
    };
  }

  #addUnlisted({ path, type }: LiveEntry): void {
    this.#leave(path);
    if (path === ROOT || this.#options.preserved.has(path)) return;
    if (type === 'directory') this.#unlisted.push(path);
    else this.#count('-', path);
  }

  /** The walk has come to a path, so nothing more follows below directories that it is not in. */
  #leave(path: ByteString | undefined): void {
    for (let last = this.#unlisted.at(-1); last !== undefined; last = this.#unlisted.at(-1)) {
      if (path?.startsWith(`${last}/`)) return;
      this.#unlisted.pop();
      this.#count('-', last);
    }
  }

  #count(kind: Kind, path: ByteString): void {
    this.#hash.update(`${kind} ${path}\0`, 'latin1');
    this.#counts[kind]++;
    const samples = this.#samples[kind];
    if (samples.length < MAX_SAMPLES)
      samples.push(`${kind} ${display(path === '' ? ('./' as ByteString) : path)}`);
  }
}
