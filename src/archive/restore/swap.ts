import fs from 'node:fs';
import path from 'node:path';
import { renameExchange, renameNoReplace } from '../../posix/rename.ts';
import { syncDirectory } from '../../posix/sync.ts';
import { codeOf } from '../../posix/system-error.ts';
import { setTimes } from '../../posix/times.ts';
import { ArchiveError } from '../errors.ts';
import { type ByteString, fromText, join, ROOT, toPath } from '../format/byte-string.ts';
import { shown } from './failures.ts';
import { type Journal, NEW, OLD, writeJournal } from './journal.ts';
import { isKeptName } from './kept-names.ts';
import { parentOf } from './obstacles.ts';
import { preserve } from './preserved-archives.ts';
import { applyRootMetadata } from './root-metadata.ts';

/** Called before each change on disk with its name; tests kill the process in it. */
export type Failpoint = (name: string) => void;

export interface Trees {
  /** Directory of the journal and of the tree that is not in its place. */
  readonly state: string;
  readonly target: string;
}

/** One swap: the tree at `incoming` takes the place of the one at `target`, which goes to `outgoing`. */
interface Swap extends Trees {
  readonly journal: Journal;
  readonly incoming: string;
  readonly outgoing: string;
  /** The journal's `modes`, by tree and name. */
  readonly modes: ReadonlyMap<string, number>;
}

/**
 * Completes the swap that the journal describes. The names on disk show which steps are done, so this may
 * run again after a kill at any point.
 *
 * @returns The journal that is then valid.
 */
export function completeSwap(trees: Trees, begun: Journal, failpoint: Failpoint): Journal {
  let swap = swapOf(trees, begun);
  const { state, target, outgoing } = swap;
  if (!begun.moved) {
    if (begun.mode === 'exchange' && exchange(swap, failpoint) === 'unsupported') {
      swap = swapOf(trees, { ...begun, mode: 'rename' });
      failpoint('journal rename');
      writeJournal(state, swap.journal);
    }
    if (swap.journal.mode === 'rename') moveWhole(swap, failpoint);
    if (swap.journal.mode === 'children') moveChildren(swap, failpoint);
    if (swap.journal.mode === 'paths') movePaths(swap, failpoint);
    putModesBack(swap, { outgoing, incoming: target });
    putTimesBack(swap.journal, { outgoing, incoming: target });
    // From here on names in the target say nothing: preserving archives creates directories there.
    swap = swapOf(trees, { ...swap.journal, moved: true });
    failpoint('journal moved');
    writeJournal(state, swap.journal);
  }
  const { journal } = swap;
  if (journal.hasOutgoing && journal.hasIncoming) {
    preserve(journal.preservedArchives as ByteString[], fromText(outgoing), fromText(target), failpoint);
  }
  const forward = journal.direction === 'forward';
  const root = forward ? journal.rootAfter : journal.rootBefore;
  if (journal.mode === 'children' && root) {
    failpoint('metadata of the mount point');
    applyRootMetadata(target, root);
    syncDirectory(target);
  }
  const keeps = forward && journal.hasOutgoing && journal.oldState === 'keep';
  const kept: Journal = { ...journal, phase: keeps ? 'swapped' : 'removing' };
  failpoint(`journal ${kept.phase}`);
  writeJournal(state, kept);
  return kept;
}

/**
 * Moves back whatever an unfinished swap has moved. May run again after a kill. The journal must not be
 * `moved`, and stays as it is.
 */
export function undoSwap(trees: Trees, journal: Journal, failpoint: Failpoint): void {
  const swap = swapOf(trees, journal);
  const { target, incoming } = swap;
  if (journal.mode === 'children') moveChildrenBack(swap, failpoint);
  else if (journal.mode === 'paths') movePathsBack(swap, failpoint);
  else moveWholeBack(swap, failpoint);
  putModesBack(swap, { outgoing: target, incoming });
  putTimesBack(journal, { outgoing: target, incoming });
  const root = journal.direction === 'forward' ? journal.rootBefore : journal.rootAfter;
  // Renames below the root have changed its times.
  if (journal.mode === 'children' && root) applyRootMetadata(target, root);
}

function swapOf({ state, target }: Trees, journal: Journal): Swap {
  const forward = journal.direction === 'forward';
  return {
    state,
    target,
    journal,
    incoming: path.join(state, forward ? NEW : OLD),
    outgoing: path.join(state, forward ? OLD : NEW),
    modes: new Map(journal.modes.map(({ tree, name, mode }) => [`${tree}/${name}`, mode])),
  };
}

function exchange(swap: Swap, failpoint: Failpoint): 'done' | 'unsupported' {
  const { journal, incoming, outgoing, state, target } = swap;
  if (present(outgoing)) return 'done';
  const inode = present(incoming) ? inodeOf(incoming) : undefined;
  if (inode === journal.incomingInode) {
    makeWritable(swap, 'incoming', ROOT, incoming);
    makeWritable(swap, 'outgoing', ROOT, target);
    failpoint('exchange');
    if (renameExchange(incoming, target) === 'unsupported') return 'unsupported';
    syncParents(swap);
  } else if (inode === undefined || inodeOf(target) !== journal.incomingInode) {
    throw new ArchiveError(
      'RestoreFailed',
      `${shown(target)}: something else replaced it while a restore was unfinished. Both trees are left as they are: compare ${shown(target)} and ${shown(incoming)}, put the right one in place, and remove ${shown(state)}.`,
    );
  }
  failpoint('rename the old tree');
  fs.renameSync(incoming, outgoing);
  syncDirectory(state);
  return 'done';
}

function moveWhole(swap: Swap, failpoint: Failpoint): void {
  const { journal, incoming, outgoing, target } = swap;
  if (journal.hasOutgoing && !present(outgoing)) {
    makeWritable(swap, 'outgoing', ROOT, target);
    failpoint('move the live tree out');
    fs.renameSync(target, outgoing);
    syncParents(swap);
  }
  if (journal.hasIncoming && present(incoming)) {
    makeWritable(swap, 'incoming', ROOT, incoming);
    failpoint('move the other tree in');
    moveNew(incoming, target);
    syncParents(swap);
  }
}

function moveWholeBack(swap: Swap, failpoint: Failpoint): void {
  const { journal, incoming, outgoing, state, target } = swap;
  const isIncoming = (at: string) => present(at) && inodeOf(at) === journal.incomingInode;
  if (journal.mode === 'exchange' && isIncoming(target)) {
    if (!present(incoming)) {
      failpoint('rename the old tree back');
      fs.renameSync(outgoing, incoming);
      syncDirectory(state);
    }
    makeWritable(swap, 'incoming', ROOT, target);
    makeWritable(swap, 'outgoing', ROOT, incoming);
    failpoint('exchange back');
    renameExchange(incoming, target);
    syncParents(swap);
    return;
  }
  if (journal.hasIncoming && !present(incoming) && isIncoming(target)) {
    makeWritable(swap, 'incoming', ROOT, target);
    failpoint('move the other tree back');
    moveNew(target, incoming);
    syncParents(swap);
  }
  if (journal.hasOutgoing && present(outgoing)) {
    makeWritable(swap, 'outgoing', ROOT, outgoing);
    failpoint('move the live tree back');
    moveNew(outgoing, target);
    syncParents(swap);
  }
}

function syncParents({ state, target }: Trees): void {
  syncDirectory(path.dirname(target));
  syncDirectory(state);
}

function moveChildren(swap: Swap, failpoint: Failpoint): void {
  const { journal, incoming, outgoing, state, target } = swap;
  if (!present(outgoing)) {
    failpoint('make a place for the old tree');
    fs.mkdirSync(outgoing, 0o700);
    syncDirectory(state);
  }
  const placed = placedNames(swap);
  for (const name of namesIn(target)) {
    if (isKeptName(name) || placed.has(name)) continue;
    makeWritable(swap, 'outgoing', name, target);
    failpoint(`move out ${name}`);
    moveNew(child(target, name), child(outgoing, name));
  }
  syncDirectory(outgoing);
  syncDirectory(target);
  for (const name of journal.incomingNames as ByteString[]) {
    if (placed.has(name)) continue;
    makeWritable(swap, 'incoming', name, incoming);
    failpoint(`move in ${name}`);
    moveNew(child(incoming, name), child(target, name));
  }
  if (present(incoming)) syncDirectory(incoming);
  syncDirectory(target);
}

function moveChildrenBack(swap: Swap, failpoint: Failpoint): void {
  const { incoming, outgoing, target } = swap;
  for (const name of placedNames(swap)) {
    if (!present(child(target, name))) continue;
    makeWritable(swap, 'incoming', name, target);
    failpoint(`move back ${name}`);
    moveNew(child(target, name), child(incoming, name));
  }
  if (present(incoming)) syncDirectory(incoming);
  if (!present(outgoing)) return;
  for (const name of namesIn(outgoing)) {
    makeWritable(swap, 'outgoing', name, outgoing);
    failpoint(`move back ${name}`);
    moveNew(child(outgoing, name), child(target, name));
  }
  syncDirectory(target);
  syncDirectory(outgoing);
}

/** One path after the other: each is missing for a moment only. */
function movePaths(swap: Swap, failpoint: Failpoint): void {
  const { journal, incoming, outgoing, target } = swap;
  const incomingNames = new Set(journal.incomingNames as ByteString[]);
  for (const path of new Set([...(journal.outgoingNames as ByteString[]), ...incomingNames])) {
    const isPlaced = incomingNames.has(path) && !present(child(incoming, path));
    if (isPlaced) continue;
    if (present(child(target, path))) {
      makeParents(outgoing, path);
      makeWritable(swap, 'outgoing', path, target);
      failpoint(`move out ${path}`);
      moveNew(child(target, path), child(outgoing, path));
      syncParent(outgoing, path);
    }
    if (incomingNames.has(path)) {
      makeWritable(swap, 'incoming', path, incoming);
      failpoint(`move in ${path}`);
      moveNew(child(incoming, path), child(target, path));
      syncParent(incoming, path);
    }
    syncParent(target, path);
  }
}

function movePathsBack(swap: Swap, failpoint: Failpoint): void {
  const { journal, incoming, outgoing, target } = swap;
  for (const path of placedNames(swap)) {
    if (!present(child(target, path))) continue;
    makeWritable(swap, 'incoming', path, target);
    failpoint(`move back ${path}`);
    moveNew(child(target, path), child(incoming, path));
    syncParent(incoming, path);
  }
  for (const path of journal.outgoingNames as ByteString[]) {
    if (!present(child(outgoing, path))) continue;
    makeWritable(swap, 'outgoing', path, outgoing);
    failpoint(`move back ${path}`);
    moveNew(child(outgoing, path), child(target, path));
    syncParent(target, path);
  }
}

function makeParents(root: string, path: ByteString): void {
  fs.mkdirSync(child(root, parentOf(path)), { recursive: true, mode: 0o700 });
}

function syncParent(root: string, path: ByteString): void {
  syncDirectory(child(root, parentOf(path)));
}

/** Names of the incoming tree that have reached the target. */
function placedNames({ journal, incoming }: Swap): ReadonlySet<ByteString> {
  const names = journal.incomingNames as ByteString[];
  return new Set(names.filter((name) => !present(child(incoming, name))));
}

/** Moving a directory to another parent takes permission to write to it, which its owner can grant for the moment. */
function makeWritable({ modes }: Swap, tree: 'outgoing' | 'incoming', name: ByteString, at: string): void {
  const mode = modes.get(`${tree}/${name}`);
  if (mode !== undefined) fs.chmodSync(child(at, name), mode | 0o300);
}

function putModesBack({ journal }: Swap, places: Record<'outgoing' | 'incoming', string>): void {
  for (const { tree, name, mode } of journal.modes) {
    const at = child(places[tree], name as ByteString);
    if (present(at)) fs.chmodSync(at, mode);
  }
}

/** XFS changes the modification time of a directory that is exchanged. */
function putTimesBack({ rootTimes }: Journal, places: Record<'outgoing' | 'incoming', string>): void {
  for (const tree of ['outgoing', 'incoming'] as const) {
    const time = rootTimes?.[tree];
    if (time === undefined || !present(places[tree])) continue;
    const { atimeNs } = fs.lstatSync(places[tree], { bigint: true });
    try {
      setTimes(places[tree], atimeNs, BigInt(time));
    } catch (error) {
      // Only the owner may set them.
      if (codeOf(error) !== 'EPERM') throw error;
    }
  }
}

/** For the journal of a swap of whole directories. */
export function rootTimesOf(outgoing: string | undefined, incoming: string): Journal['rootTimes'] {
  const timeOf = (directory: string) => fs.lstatSync(directory, { bigint: true }).mtimeNs.toString();
  return {
    incoming: timeOf(incoming),
    ...(outgoing !== undefined && { outgoing: timeOf(outgoing) }),
  };
}

function child(directory: string, name: ByteString): string | Buffer {
  return name === ROOT ? directory : toPath(join(fromText(directory), name));
}

/** Renames, and refuses to replace what is there. */
function moveNew(from: string | Buffer, to: string | Buffer): void {
  try {
    if (renameNoReplace(from, to) === 'done') return;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') throw inTheWay(to, error);
    throw error;
  }
  if (present(to)) throw inTheWay(to);
  fs.renameSync(from, to);
}

function inTheWay(at: string | Buffer, cause?: unknown): ArchiveError {
  return new ArchiveError(
    'RestoreFailed',
    `${shown(at.toString())}: something was created there while the trees were swapped, so a writer is still running. Stop it, move that entry away and run \`km-backup restore --resume\` or \`--rollback\`.`,
    { cause },
  );
}

export function namesIn(directory: string): ByteString[] {
  return fs.readdirSync(directory, { encoding: 'latin1' }).sort() as ByteString[];
}

export function present(file: string | Buffer): boolean {
  return fs.lstatSync(file, { throwIfNoEntry: false }) !== undefined;
}

export function inodeOf(file: string): string {
  const { dev, ino } = fs.lstatSync(file, { bigint: true });
  return `${dev}:${ino}`;
}
