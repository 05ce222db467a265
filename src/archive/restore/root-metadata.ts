import fs from 'node:fs';
import { codeOf } from '../../posix/system-error.ts';
import { setTimes } from '../../posix/times.ts';
import { getXattrs, setXattr } from '../../posix/xattr.ts';
import { fromText, toBuffer } from '../format/byte-string.ts';
import type { RootMetadata } from './journal.ts';

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

/** As far as this process may: the root of a volume often belongs to another user. */
export function applyRootMetadata(directory: string, root: RootMetadata): void {
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
      if (codeOf(error) !== 'EPERM') throw error;
    }
  }
}
