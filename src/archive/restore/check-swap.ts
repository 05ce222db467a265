import path from 'node:path';
import { type ByteString, display, fromText, join, ROOT } from '../format/byte-string.ts';
import { refused, shown } from './failures.ts';
import type { Journal } from './journal.ts';
import { isKeptName } from './kept-names.ts';
import {
  changeabilityOf,
  factsOf,
  type Movability,
  movabilityOf,
  type ParentFacts,
  parentOf,
  rightsOfProcess,
} from './obstacles.ts';
import type { Place } from './place.ts';
import { namesIn } from './swap.ts';

const MAX_SHOWN = 5;

type Modes = Journal['modes'];

/**
 * Checks that every rename of a swap can be done, both ways, before the first one is.
 *
 * @param paths What moves in mode `paths`.
 * @param incoming The tree that moves in; undefined while it is not unpacked (a dry run).
 * @returns The directories that have to be made writable for the swap.
 * @throws {ArchiveError} RestoreRefused with the first entries that cannot be moved.
 */
export function checkSwap(
  place: Place,
  mode: Journal['mode'],
  incoming: string | undefined,
  paths: readonly ByteString[] = [],
): Modes {
  const check = new SwapCheck();
  if (mode === 'paths') {
    check.paths('outgoing', place.target, paths);
    if (incoming !== undefined) check.paths('incoming', incoming, paths);
    return check.modes(place);
  }
  if (mode === 'children') {
    if (place.exists) check.children('outgoing', place.target);
    if (incoming !== undefined) check.children('incoming', incoming);
  } else {
    if (place.exists) check.whole('outgoing', place.target);
    if (incoming !== undefined) check.whole('incoming', incoming);
  }
  return check.modes(place);
}

class SwapCheck {
  readonly #rights = rightsOfProcess();
  readonly #modes: Modes = [];
  readonly #blocked: string[] = [];

  children(tree: 'outgoing' | 'incoming', directory: string): void {
    const parent = factsOf(fromText(directory));
    if (!parent) return;
    const inParent = changeabilityOf(parent);
    if (inParent.kind === 'blocked') this.#blocked.push(`${shown(directory)}: ${inParent.why}`);
    else if (!parent.writable) {
      this.#blocked.push(`${shown(directory)}: it belongs to user ${parent.uid} and may not be written to`);
    } else {
      for (const name of namesIn(directory))
        if (!isKeptName(name)) this.#judge(tree, directory, name, parent);
    }
  }

  paths(tree: 'outgoing' | 'incoming', directory: string, paths: readonly ByteString[]): void {
    for (const name of paths) {
      const above = parentOf(name);
      const location = above === ROOT ? fromText(directory) : join(fromText(directory), above);
      const parent = factsOf(location);
      if (!parent) continue;
      const inParent = changeabilityOf(parent);
      if (inParent.kind === 'blocked') this.#blocked.push(`${display(location)}: ${inParent.why}`);
      else if (!parent.writable) {
        this.#blocked.push(
          `${display(location)}: it belongs to user ${parent.uid} and may not be written to`,
        );
      } else this.#judge(tree, directory, name, parent);
    }
  }

  whole(tree: 'outgoing' | 'incoming', directory: string): void {
    const parent = factsOf(fromText(path.dirname(directory)));
    if (parent) this.#judge(tree, directory, ROOT, parent);
  }

  modes({ target }: Place): Modes {
    const count = this.#blocked.length;
    if (count === 0) return this.#modes;
    const more = count > MAX_SHOWN ? `; and ${count - MAX_SHOWN} more` : '';
    throw refused(
      `${shown(target)} cannot be swapped, because entries cannot be moved: ${this.#blocked.slice(0, MAX_SHOWN).join('; ')}${more}. Remove these obstacles, or run as a user who may move them`,
    );
  }

  #judge(tree: 'outgoing' | 'incoming', directory: string, name: ByteString, parent: ParentFacts): void {
    const location = name === ROOT ? fromText(directory) : join(fromText(directory), name);
    const entry = factsOf(location);
    if (!entry) return;
    const verdict: Movability = movabilityOf(entry, parent, this.#rights);
    if (verdict.kind === 'own-mode') this.#modes.push({ tree, name, mode: entry.mode });
    if (verdict.kind === 'blocked') this.#blocked.push(`${display(location)}: ${verdict.why}`);
  }
}
