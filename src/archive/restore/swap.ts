import fs from 'node:fs';
import path from 'node:path';
import { renameExchange, renameNoReplace } from '../../posix/rename.ts';
import { syncDirectory } from '../../posix/sync.ts';
import { setTimes } from '../../posix/times.ts';
import { getXattrs, setXattr } from '../../posix/xattr.ts';
import { ArchiveError } from '../errors.ts';
import { type ByteString, fromText, join, toBuffer, toPath } from '../format/byte-string.ts';
import { RESTORE_STATE_NAME } from '../format/names.ts';
import { type Journal, NEW, OLD, type RootMetadata, writeJournal } from './journal.ts';
import { preserve } from './preserved-archives.ts';

/** Called before each change on disk with its name; tests kill the process in it. */
export type Failpoint = (name: string) => void;

/** Names directly below a mount point that belong to it and not to the tree. */
export function isKeptName(name: string): boolean {
  return name === RESTORE_STATE_NAME || name === 'lost+found';
}

export interface Trees {
  /** Where the journal and both trees lie. */
  readonly state: string;
  readonly target: string;
}

/**
 * Completes the swap that the journal describes and returns the journal then valid. Every step is told done
 * or not from what lies on disk, so this may run again after a kill at any point.
 */
export function completeSwap({ state, target }: Trees, begun: Journal, failpoint: Failpoint): Journal {
  const forward = begun.direction === 'forward';
  const incoming = path.join(state, forward ? NEW : OLD);
  const outgoing = path.join(state, forward ? OLD : NEW);
  let journal = begun;
  if (!journal.moved) {
    if (
      journal.mode === 'exchange' &&
      exchange(journal, incoming, outgoing, { state, target }, failpoint) === 'unsupported'
    ) {
      journal = { ...journal, mode: 'rename' };
      failpoint('journal rename');
      writeJournal(state, journal);
    }
    if (journal.mode === 'rename') moveWhole(journal, incoming, outgoing, { state, target }, failpoint);
    if (journal.mode === 'children') moveChildren(journal, incoming, outgoing, { state, target }, failpoint);
    // From here on names in the target tell nothing more: carrying makes directories there.
    journal = { ...journal, moved: true };
    failpoint('journal moved');
    writeJournal(state, journal);
  }
  if (journal.hasOutgoing && journal.hasIncoming) {
    preserve(journal.preservedArchives as ByteString[], fromText(outgoing), fromText(target), failpoint);
  }
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

function exchange(
  journal: Journal,
  incoming: string,
  outgoing: string,
  { state, target }: Trees,
  failpoint: Failpoint,
): 'done' | 'unsupported' {
  if (present(outgoing)) return 'done';
  const inode = present(incoming) ? inodeOf(incoming) : undefined;
  if (inode === journal.incomingInode) {
    failpoint('exchange');
    if (renameExchange(incoming, target) === 'unsupported') return 'unsupported';
    syncDirectory(path.dirname(target));
    syncDirectory(state);
  } else if (inode === undefined || inodeOf(target) !== journal.incomingInode) {
    throw new ArchiveError(
      'RestoreFailed',
      `${target}: it was replaced by something else while a restore was unfinished. Both trees are left as they are: compare ${target} and ${incoming}, put the right one in place, and remove ${state}.`,
    );
  }
  failpoint('rename the old tree');
  fs.renameSync(incoming, outgoing);
  syncDirectory(state);
  return 'done';
}

function moveWhole(
  journal: Journal,
  incoming: string,
  outgoing: string,
  { state, target }: Trees,
  failpoint: Failpoint,
): void {
  if (journal.hasOutgoing && !present(outgoing)) {
    failpoint('move the live tree out');
    fs.renameSync(target, outgoing);
    syncDirectory(path.dirname(target));
    syncDirectory(state);
  }
  if (journal.hasIncoming && present(incoming)) {
    failpoint('move the other tree in');
    moveNew(incoming, target);
    syncDirectory(path.dirname(target));
    syncDirectory(state);
  }
}

function moveChildren(
  journal: Journal,
  incoming: string,
  outgoing: string,
  { state, target }: Trees,
  failpoint: Failpoint,
): void {
  if (!present(outgoing)) {
    failpoint('make a place for the old tree');
    fs.mkdirSync(outgoing, 0o700);
    syncDirectory(state);
  }
  const from = fromText(incoming);
  const out = fromText(outgoing);
  const live = fromText(target);
  const arriving = new Set(journal.incomingNames);
  const placed = (name: string) => arriving.has(name) && !present(toPath(join(from, name as ByteString)));
  for (const name of namesIn(target)) {
    if (isKeptName(name) || placed(name)) continue;
    failpoint(`move out ${name}`);
    moveNew(toPath(join(live, name)), toPath(join(out, name)));
  }
  syncDirectory(outgoing);
  syncDirectory(target);
  for (const name of journal.incomingNames as ByteString[]) {
    if (placed(name)) continue;
    failpoint(`move in ${name}`);
    moveNew(toPath(join(from, name)), toPath(join(live, name)));
  }
  if (present(incoming)) syncDirectory(incoming);
  syncDirectory(target);
}

/** Renames, and refuses to replace what is there. */
function moveNew(from: string | Buffer, to: string | Buffer): void {
  try {
    if (renameNoReplace(from, to) === 'done') return;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') throw inTheWay(to, error);
    throw error;
  }
  if (present(to)) throw inTheWay(to);
  fs.renameSync(from, to);
}

function inTheWay(at: string | Buffer, cause?: unknown): ArchiveError {
  return new ArchiveError(
    'RestoreFailed',
    `${at}: something was created there while the trees were swapped, so a writer is still running. Stop it, move that entry away and run \`km-backup restore --resume\` or \`--rollback\`.`,
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

export function rootMetadata(directory: string): RootMetadata {
  const stats = fs.lstatSync(directory, { bigint: true });
  const xattrs = [...getXattrs(directory)].map(([name, value]) => [name, value.toString('base64')] as const);
  return {
    mode: Number(stats.mode & 0o7777n),
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    mtimeNs: stats.mtimeNs.toString(),
    xattrs: Object.fromEntries(xattrs.filter(([name]) => !name.startsWith('security.'))),
  };
}

/** As far as this process may: a volume's root often belongs to somebody else. */
function applyRootMetadata(directory: string, root: RootMetadata): void {
  const attempts = [
    () => fs.lchownSync(directory, root.uid, root.gid),
    () => fs.chmodSync(directory, root.mode),
    () => setTimes(toBuffer(fromText(directory)), BigInt(root.mtimeNs), BigInt(root.mtimeNs)),
  ];
  for (const [name, value] of Object.entries(root.xattrs)) {
    setXattr(directory, name, Buffer.from(value, 'base64'));
  }
  for (const attempt of attempts) {
    try {
      attempt();
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EPERM')) throw error;
    }
  }
}
