import { readdirSync } from 'node:fs';
import { tryCall } from './libc.ts';
import { SystemError } from './system-error.ts';

/** Room for about a thousand names at once. */
const buffer = Buffer.alloc(32 * 1024);
const shorts = new Uint16Array(buffer.buffer, buffer.byteOffset, buffer.length / 2);

/** struct linux_dirent64: d_ino, d_off, d_reclen, d_type, d_name. Each begins on a multiple of eight. */
const LENGTH_AT = 16;
const TYPE_AT = 18;
const NAME_AT = 19;
const DT_UNKNOWN = 0;
const DT_DIR = 4;

export interface Names {
  /** One character a byte, in the file system's order. */
  readonly names: string[];
  /** Those that the file system calls directories, in the same order; they may have changed since. */
  readonly directories: string[];
  /** Whether it has told of each name what it is: some file systems do not. */
  readonly isComplete: boolean;
}

/** The names in an open directory, from the descriptor's position on. */
export function namesIn(fd: number): Names {
  const names: string[] = [];
  const directories: string[] = [];
  let isComplete = true;
  for (;;) {
    const answer = tryCall('getdents64', fd, buffer, buffer.length);
    if ('errno' in answer) {
      const error = new SystemError('getdents64', answer.errno);
      if (error.code !== 'ENOSYS') throw error;
      const names = readdirSync(`/proc/self/fd/${fd}`, { encoding: 'latin1' });
      return { names, directories: [], isComplete: false };
    }
    const used = answer.result;
    if (used === 0) return { names, directories, isComplete };
    // One conversion for the whole block: one for each name takes longer than reading them.
    const text = buffer.toString('latin1', 0, used);
    for (let at = 0; at < used; at += shorts[(at + LENGTH_AT) / 2]!) {
      const name = text.slice(at + NAME_AT, text.indexOf('\0', at + NAME_AT));
      if (name === '.' || name === '..') continue;
      names.push(name);
      const type = buffer[at + TYPE_AT];
      if (type === DT_UNKNOWN) isComplete = false;
      if (type === DT_DIR) directories.push(name);
    }
  }
}
