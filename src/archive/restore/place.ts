import { hash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { codeOf } from '../../posix/system-error.ts';
import type { ArchiveError } from '../errors.ts';
import { RESTORE_STATE_NAME } from '../format/names.ts';
import { messageOf, refused, shown } from './failures.ts';
import { mountPoints } from './open-files.ts';

/** Where a target lies and where its restore may work. */
export interface Place {
  /** Real path of the target, which may not exist yet. */
  readonly target: string;
  readonly exists: boolean;
  /**
   * - `beside`: the state directory is the target's sibling, the target is renamed as a whole.
   * - `inside`: the target cannot be renamed (it is a mount point, or its parent may not be written to), but its children can.
   */
  readonly kind: 'beside' | 'inside';
  readonly state: string;
}

/** @throws {ArchiveError} RestoreRefused when nothing can be restored to that path. */
export function placeOf(target: string): Place {
  const real = realTarget(target);
  const stats = fs.lstatSync(real, { throwIfNoEntry: false });
  if (stats && !stats.isDirectory()) throw refused(`${shown(real)} is not a directory`);
  if (real === '/') throw refused('the root of the file system cannot be a target');
  const mounts = mountPoints();
  const below = mounts.filter((point) => point.startsWith(`${real}/`));
  if (below.length > 0) {
    throw refused(
      `${shown(below[0]!)} is mounted inside the target, and would not move with it. Unmount it first`,
    );
  }
  if (!stats) return { target: real, exists: false, kind: 'beside', state: besideState(real) };
  const parent = path.dirname(real);
  const renamable = fs.statSync(parent).dev === stats.dev && !mounts.includes(real) && isWritable(parent);
  return renamable
    ? { target: real, exists: true, kind: 'beside', state: besideState(real) }
    : { target: real, exists: true, kind: 'inside', state: path.join(real, RESTORE_STATE_NAME) };
}

/**
 * Checks that the state directory can be created, without creating it.
 *
 * @throws {ArchiveError} RestoreRefused when it cannot.
 */
export function checkPlace({ state }: Place): void {
  const directory = path.dirname(state);
  if (kernelFileSystems.has(fs.statfsSync(directory).type)) {
    throw refused(`${shown(directory)} is a file system of the kernel, which holds no files of users`);
  }
  try {
    fs.accessSync(directory, fs.constants.W_OK | fs.constants.X_OK);
  } catch (error) {
    const { uid, mode } = fs.statSync(directory);
    const bits = (mode & 0o7777).toString(8).padStart(4, '0');
    throw refused(
      `${shown(directory)} cannot be written to (${codeOf(error)}): it belongs to user ${uid} with mode ${bits}, and this process runs as user ${process.geteuid?.()}. Run as a user who may write there`,
      error,
    );
  }
}

/** linux/magic.h: proc, sysfs, cgroup, cgroup2, debugfs, tracefs, devpts, securityfs, mqueue, bpf. */
const kernelFileSystems: ReadonlySet<number> = new Set([
  0x9fa0, 0x62656572, 0x27e0eb, 0x63677270, 0x64626720, 0x74726163, 0x1cd1, 0x73636673, 0x19800202,
  0xcafe4a11,
]);

/** Every place where a restore of this target may have left its state, the likelier one first. */
export function statePlaces(target: string): Place[] {
  const real = realTarget(target);
  const exists = fs.existsSync(real);
  return [
    { target: real, exists, kind: 'beside', state: besideState(real) },
    { target: real, exists, kind: 'inside', state: path.join(real, RESTORE_STATE_NAME) },
  ];
}

/** The real path, also of a target that does not exist or that a dangling symlink points to. */
function realTarget(target: string, hops = 0): string {
  const absolute = path.resolve(target);
  try {
    return fs.realpathSync(absolute);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw unreachable(absolute, error);
  }
  const dangling = fs.lstatSync(absolute, { throwIfNoEntry: false })?.isSymbolicLink();
  if (dangling && hops < 40)
    return realTarget(path.resolve(path.dirname(absolute), fs.readlinkSync(absolute)), hops + 1);
  try {
    return path.join(fs.realpathSync(path.dirname(absolute)), path.basename(absolute));
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw unreachable(absolute, error);
    throw refused(`${shown(path.dirname(absolute))} does not exist. Create it first`);
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

function unreachable(target: string, error: unknown): ArchiveError {
  return refused(`${shown(target)} cannot be reached (${messageOf(error)})`, error);
}
