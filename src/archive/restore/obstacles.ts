import fs from 'node:fs';
import { hasCapability } from '../../posix/capabilities.ts';
import { attributesOf, statusOf } from '../../posix/status.ts';
import { codeOf } from '../../posix/system-error.ts';
import { type ByteString, ROOT } from '../format/byte-string.ts';
import type { DeepPaths } from './deep-paths.ts';

/** What decides whether an entry may be renamed into another directory, or removed. */
export interface EntryFacts {
  readonly directory: boolean;
  readonly uid: number;
  /** Whether this process may write to it, as access(2) says. */
  readonly writable: boolean;
  readonly immutable: boolean;
  readonly appendOnly: boolean;
  readonly mountPoint: boolean;
}

export interface ParentFacts extends EntryFacts {
  readonly sticky: boolean;
  /** Permission bits. */
  readonly mode: number;
}

export interface Rights {
  readonly uid: number;
  /** Holds CAP_FOWNER, which overrides sticky directories. */
  readonly ownsAll: boolean;
}

/**
 * - `free`: it can be moved.
 * - `own-mode`: it is this user's own directory without write permission, which moving it to another parent needs.
 *   It can be made writable for the moment.
 * - `blocked`: it cannot be moved, for the reason given.
 */
export type Movability =
  | { readonly kind: 'free' | 'own-mode' }
  | { readonly kind: 'blocked'; readonly why: string };

const free: Movability = { kind: 'free' };
const blocked = (why: string): Movability => ({ kind: 'blocked', why });

/** Judges a rename out of `parent` into another directory, by the rules of the kernel. */
export function movabilityOf(entry: EntryFacts, parent: ParentFacts, rights: Rights): Movability {
  if (entry.mountPoint) return blocked('something is mounted on it');
  if (entry.immutable) return blocked('it is immutable (chattr -i)');
  if (entry.appendOnly) return blocked('it is append-only (chattr -a)');
  const inParent = changeabilityOf(parent);
  if (inParent.kind === 'blocked') return inParent;
  const owned = entry.uid === rights.uid || parent.uid === rights.uid || rights.ownsAll;
  if (parent.sticky && !owned) {
    return blocked(`it belongs to user ${entry.uid}, in a directory with the sticky bit`);
  }
  if (!entry.directory || entry.writable) return free;
  if (entry.uid === rights.uid) return { kind: 'own-mode' };
  return blocked(
    `it is a directory of user ${entry.uid} that this process (user ${rights.uid}) may not write to`,
  );
}

/** Judges renames into and out of a directory. */
export function changeabilityOf(directory: EntryFacts): Movability {
  if (directory.immutable) return blocked('its directory is immutable (chattr -i)');
  if (directory.appendOnly) return blocked('its directory is append-only (chattr -a)');
  return free;
}

/** @returns Undefined if the entry does not exist. */
export function factsOf(location: ByteString): ParentFacts | undefined {
  const status = statusOf(location);
  if (!status) return undefined;
  return {
    directory: (status.mode & 0o170000) === 0o040000,
    uid: status.uid,
    mode: status.mode & 0o7777,
    sticky: (status.mode & 0o1000) !== 0,
    writable: mayWrite(location),
    ...attributesOf(location),
  };
}

export function rightsOfProcess(): Rights {
  return { uid: process.geteuid?.() ?? 0, ownsAll: hasCapability('FOWNER') };
}

/** Why an entry could not be changed or removed, to follow an error code: `: it is immutable…`, or nothing. */
export function describeObstacle(paths: DeepPaths, path: ByteString): string {
  try {
    const entry = factsOf(paths.locate(path));
    const parent = path === ROOT ? undefined : factsOf(paths.locate(parentOf(path)));
    if (!entry || !parent) return '';
    const verdict = movabilityOf({ ...entry, writable: true }, parent, rightsOfProcess());
    if (verdict.kind === 'blocked') return `: ${verdict.why}`;
    if (!parent.writable) return `: its directory belongs to user ${parent.uid}`;
    return entry.directory && !entry.writable ? `: it belongs to user ${entry.uid}` : '';
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return '';
  }
}

export function parentOf(path: ByteString): ByteString {
  return path.slice(0, Math.max(0, path.lastIndexOf('/'))) as ByteString;
}

function mayWrite(location: ByteString): boolean {
  try {
    fs.accessSync(Buffer.from(location, 'latin1'), fs.constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
