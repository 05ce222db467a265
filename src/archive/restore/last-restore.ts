/** What a restore last brought back to a directory, as far as it can be seen there. */
import path from 'node:path';
import { type ArchiveInfo, archiveInfo } from '../destination/inventory.ts';
import { timeOfName } from '../format/names.ts';
import { readHistory } from './history.ts';
import { type Journal, readJournal } from './journal.ts';
import { statePlaces } from './place.ts';

export interface LastRestore {
  /** Path of the archive, as it was then. */
  readonly archive: string;
  /** When the archive was made; undefined if neither its name nor its file says so any longer. */
  readonly archiveTime: Date | undefined;
  /** Undefined if it is no longer there. */
  readonly sizeBytes: number | undefined;
  readonly startedAt: Date;
}

/**
 * The restore of the whole directory that is live. Seen while its old state is kept, and later if the request had an id.
 * Never throws: what cannot be read is not seen.
 */
export function lastRestore(target: string): LastRestore | undefined {
  try {
    const states = statePlaces(target).map(({ state }) => state);
    const found = states.flatMap((state) => liveIn(state) ?? []);
    return found.sort((a, b) => b.startedAt.getTime() - a.startedAt.getTime())[0];
  } catch {
    return undefined;
  }
}

function liveIn(state: string): LastRestore | undefined {
  const journal = readJournal(state);
  if (journal && isLive(journal)) return described(journal);
  const last = readHistory(state).at(-1);
  return last?.outcome === 'restored' && !last.partial ? described(last) : undefined;
}

const isLive = ({ phase, direction, mode, undone }: Journal) =>
  (phase === 'swapped' || phase === 'removing') && direction === 'forward' && mode !== 'paths' && !undone;

function described({ archive, startedAt }: Pick<Journal, 'archive' | 'startedAt'>): LastRestore {
  const info = infoOf(archive);
  const archiveTime = timeOfName(path.basename(archive)) ?? info?.timestamp;
  return { archive, archiveTime, sizeBytes: info?.sizeBytes, startedAt: new Date(startedAt) };
}

function infoOf(archive: string): ArchiveInfo | undefined {
  try {
    return archiveInfo(archive);
  } catch {
    return undefined;
  }
}
