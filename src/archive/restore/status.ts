/** What a restore has left for a target, in words. */
import path from 'node:path';
import type { ArchiveError } from '../errors.ts';
import { refused, shown } from './failures.ts';
import { type Journal, readJournal } from './journal.ts';
import { type Place, statePlaces } from './place.ts';

export interface RestoreStatus {
  readonly phase: Journal['phase'] | 'none';
  readonly text: string;
}

/** What is unfinished or kept for a target. Changes nothing and takes no lock. */
export function restoreStatus(target: string): RestoreStatus {
  for (const place of statePlaces(target)) {
    const journal = readJournal(place.state);
    if (journal) return { phase: journal.phase, text: describe(journal, place) };
  }
  return {
    phase: 'none',
    text: `${shown(path.resolve(target))}: no restore is unfinished, and no old state is kept.`,
  };
}

export function describe(journal: Journal, place: Place): string {
  const target = shown(journal.target);
  const of = `restore of ${shown(journal.archive)}, started ${journal.startedAt}`;
  switch (journal.phase) {
    case 'staged':
      return `${target}: a ${of}, is staged and complete. The target is wholly old. \`km-backup restore --id ${shown(journal.id)} ${shown(journal.archive)} ${target}\` swaps it in, --discard removes it.`;
    case 'staging':
      return `${target}: a ${of}, ended before the swap. The target is wholly old. --resume removes what was staged.`;
    case 'swapping':
      return `${target}: the swap of a ${of}, is unfinished. --resume completes it, --rollback undoes it.`;
    case 'swapped':
      return `${target}: wholly new, by a ${of}. The old state is kept in ${shown(path.join(place.state, 'old'))} until --commit or --rollback.`;
    case 'removing':
      return `${target}: complete (a ${of}); removal of the other state is unfinished. --resume completes it.`;
  }
}

/** Another restore is unfinished or its old state is kept. */
export function unfinished(journal: Journal, place: Place): ArchiveError {
  return refused(`${describe(journal, place)} Do one of these first`);
}

export function stillStaged(journal: Journal, place: Place): ArchiveError {
  return refused(describe(journal, place).replace(/\.$/, ''));
}
