import fs from 'node:fs';
import path from 'node:path';
import { display, fromText } from '../format/byte-string.ts';

/** A process that would continue to work in the old tree. */
export interface TreeUser {
  readonly pid: number;
  readonly command: string;
  /** `writes` a file, `maps` one for writing, or `stands in` the tree: has its working directory there. */
  readonly use: 'writes' | 'maps' | 'stands in';
  readonly path: string;
}

const WRITES = 0o3; // O_WRONLY | O_RDWR

/**
 * Finds processes that write below a directory or have their working directory there. Sees what /proc shows:
 * processes of this PID namespace whose descriptors this user may read. Pods on other nodes, or without a
 * shared PID namespace, must be stopped by whoever runs the restore.
 *
 * @param directory Its real path.
 */
export function findUsers(directory: string, proc = '/proc'): TreeUser[] {
  const users: TreeUser[] = [];
  for (const name of list(proc)) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const user = userOf(path.join(proc, name), pid, directory);
    if (user) users.push(user);
  }
  return users;
}

export function describeUsers(users: readonly TreeUser[]): string {
  const shown = users.slice(0, 5).map(({ pid, command, use, path: file }) => {
    return `${display(fromText(command), 40)} (pid ${pid}) ${use} ${display(fromText(file), 120)}`;
  });
  return shown.join('; ') + (users.length > shown.length ? `; and ${users.length - shown.length} more` : '');
}

function userOf(process: string, pid: number, directory: string): TreeUser | undefined {
  const found = (use: TreeUser['use'], file: string): TreeUser => ({
    pid,
    command: commandOf(process),
    use,
    path: file,
  });
  const standing = link(path.join(process, 'cwd'));
  if (standing !== undefined && isWithin(standing, directory)) return found('stands in', standing);
  for (const fd of list(path.join(process, 'fd'))) {
    const file = link(path.join(process, 'fd', fd));
    if (file === undefined || !isWithin(file, directory)) continue;
    const flags = /^flags:\s*([0-7]+)/m.exec(read(path.join(process, 'fdinfo', fd)))?.[1];
    if (flags === undefined || Number.parseInt(flags, 8) & WRITES) return found('writes', file);
  }
  for (const line of read(path.join(process, 'maps')).split('\n')) {
    // address perms offset dev inode path: `s` is shared, so that writes reach the file
    const match = /^\S+ .w.s \S+ \S+ \d+\s+(\/.*)$/.exec(line);
    const file = match?.[1]?.replace(/\\012/g, '\n');
    if (file !== undefined && isWithin(file, directory)) return found('maps', file);
  }
  return undefined;
}

function isWithin(file: string, directory: string): boolean {
  return file === directory || file.startsWith(directory === '/' ? '/' : `${directory}/`);
}

function commandOf(process: string): string {
  return read(path.join(process, 'comm')).trim() || '?';
}

/** Processes end at any time, and those of other users are not readable: both count as empty. */
function list(directory: string): string[] {
  try {
    return fs.readdirSync(directory);
  } catch {
    return [];
  }
}

function link(file: string): string | undefined {
  try {
    return fs.readlinkSync(file);
  } catch {
    return undefined;
  }
}

function read(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** The mount points of this mount namespace. */
export function mountPoints(file = '/proc/self/mountinfo'): string[] {
  return Buffer.from(read(file), 'utf8')
    .toString('latin1')
    .split('\n')
    .flatMap((line) => line.split(' ')[4] ?? [])
    .map((point) =>
      point.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))),
    )
    .map((point) => Buffer.from(point, 'latin1').toString('utf8'));
}
