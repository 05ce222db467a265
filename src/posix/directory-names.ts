import { readdirSync } from 'node:fs';
import { tryCall } from './libc.ts';
import { SystemError } from './system-error.ts';

/** Room for about a thousand names at once. */
const buffer = Buffer.alloc(32 * 1024);

/** struct linux_dirent64: d_ino, d_off, d_reclen, d_type, d_name. */
const LENGTH_AT = 16;
const TYPE_AT = 18;
const NAME_AT = 19;
const DT_DIR = 4;

export interface Names {
  /** One character a byte, in the file system's order. */
  readonly names: string[];
  /** Those that the file system calls directories. Some do not tell, or have changed since. */
  readonly directories: ReadonlySet<string>;
}

/** The names in an open directory, from the descriptor's position on. */
export function namesIn(fd: number): Names {
  const names: string[] = [];
  const directories = new Set<string>();
  for (;;) {
    const answer = tryCall('getdents64', fd, buffer, buffer.length);
    if ('errno' in answer) {
      const error = new SystemError('getdents64', answer.errno);
      if (error.code !== 'ENOSYS') throw error;
      return { names: readdirSync(`/proc/self/fd/${fd}`, { encoding: 'latin1' }), directories };
    }
    if (answer.result === 0) return { names, directories };
    for (let at = 0; at < answer.result; at += buffer[at + LENGTH_AT]! + 256 * buffer[at + LENGTH_AT + 1]!) {
      const start = at + NAME_AT;
      let end = start;
      while (buffer[end] !== 0) end++;
      const name = buffer.toString('latin1', start, end);
      if (name === '.' || name === '..') continue;
      names.push(name);
      if (buffer[at + TYPE_AT] === DT_DIR) directories.add(name);
    }
  }
}
