import { hash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { codeOf } from '../../posix/system-error.ts';
import { ArchiveError } from '../errors.ts';
import { RESTORE_STATE_NAME } from '../format/names.ts';
import { mountPoints } from './open-files.ts';

/** Where a target lies and where its restore may work. */
export interface Place {
  /** Real path of the target, which may not exist yet. */
  readonly target: string;
  readonly exists: boolean;
  /**
   * - `beside`: the state directory is the target's sibling, the target is renamed as a whole.
   * - `inside`: the target cannot be renamed (a mount point, or its parent is not ours to write); its children are.
   */
  readonly kind: 'beside' | 'inside';
  readonly state: string;
}

/** Throws `RestoreRefused` where nothing can be restored to that path. */
export function placeOf(target: string): Place {
  const real = realTarget(target);
  const stats = fs.lstatSync(real, { throwIfNoEntry: false });
  if (stats && !stats.isDirectory()) throw refused(`${real} is not a directory`);
  if (real === '/') throw refused('the root of the file system cannot be a target');
  const mounts = mountPoints();
  const below = mounts.filter((point) => point.startsWith(`${real}/`));
  if (below.length > 0) {
    throw refused(`${below[0]} is mounted inside the target, and would not move with it. Unmount it first`);
  }
  if (!stats) return { target: real, exists: false, kind: 'beside', state: besideState(real) };
  const parent = path.dirname(real);
  const renamable = fs.statSync(parent).dev === stats.dev && !mounts.includes(real) && isWritable(parent);
  return renamable
    ? { target: real, exists: true, kind: 'beside', state: besideState(real) }
    : { target: real, exists: true, kind: 'inside', state: path.join(real, RESTORE_STATE_NAME) };
}

/** Every place where a restore of this target may have left its state, the likelier first. */
export function statePlaces(target: string): Place[] {
  const real = realTarget(target);
  const exists = fs.existsSync(real);
  return [
    { target: real, exists, kind: 'beside', state: besideState(real) },
    { target: real, exists, kind: 'inside', state: path.join(real, RESTORE_STATE_NAME) },
  ];
}

/** Also of a target that is missing at the moment, be it at the end of a symlink. */
function realTarget(target: string, hops = 0): string {
  const absolute = path.resolve(target);
  try {
    return fs.realpathSync(absolute);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
  const dangling = fs.lstatSync(absolute, { throwIfNoEntry: false })?.isSymbolicLink();
  if (dangling && hops < 40)
    return realTarget(path.resolve(path.dirname(absolute), fs.readlinkSync(absolute)), hops + 1);
  try {
    return path.join(fs.realpathSync(path.dirname(absolute)), path.basename(absolute));
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    throw refused(`${path.dirname(absolute)} does not exist. Create it first`);
  }
}

function besideState(real: string): string {
  const base = path.basename(real);
  const name = Buffer.byteLength(base) > 200 ? hash('sha256', base, 'hex').slice(0, 32) : base;
  return path.join(path.dirname(real), `${RESTORE_STATE_NAME}-${name}`);
}

function isWritable(directory: string): boolean {
  try {
    fs.accessSync(directory, fs.constants.W_OK | fs.constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function refused(what: string): ArchiveError {
  return new ArchiveError('RestoreRefused', `refused: ${what}. Nothing was changed.`);
}
