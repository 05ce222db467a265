import { lstatSync, statSync } from 'node:fs';
import path from 'node:path';

/**
 * The owner and mode of a path, and the user of this process, for a message about EACCES or EPERM:
 * `/a/b belongs to user 0 and group 0 with mode 0600; this process runs as user 1000, group 1000`. If the
 * path cannot be examined, it describes the directory that prevents it.
 */
export function describeAccess(file: string): string {
  return `${describeOwner(path.resolve(file))}; this process runs as ${describeProcess()}`;
}

function describeOwner(file: string): string {
  for (let at = file; ; at = path.dirname(at)) {
    try {
      const { uid, gid, mode } = at === file ? statSync(at) : lstatSync(at);
      const bits = (mode & 0o7777).toString(8).padStart(4, '0');
      return `${at} belongs to user ${uid} and group ${gid} with mode ${bits}`;
    } catch {
      if (at === path.dirname(at)) return `${file} cannot be looked at`;
    }
  }
}

function describeProcess(): string {
  const uid = process.geteuid?.();
  const gid = process.getegid?.();
  const others = (process.getgroups?.() ?? []).filter((group) => group !== gid);
  const also = others.length > 0 ? ` and groups ${others.slice(0, 16).join(', ')}` : '';
  return `user ${uid}, group ${gid}${also}`;
}
