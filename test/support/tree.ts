import { hash } from 'node:crypto';
import fs from 'node:fs';
import { getXattrs } from '../../src/posix/xattr.ts';

const bytes = (name: string) => Buffer.from(name, 'latin1');

/** Everything that a restore must restore of each entry, by its path (one character for each byte); '' is the root. */
export function describeTree(
  root: string,
  skip: (path: string) => boolean = () => false,
): Record<string, unknown> {
  const tree: Record<string, unknown> = {};
  const firstNames = new Map<bigint, string>();
  const base = Buffer.from(root).toString('latin1');
  const visit = (path: string) => {
    if (skip(path)) return;
    const at = bytes(path === '' ? base : `${base}/${path}`);
    const stats = fs.lstatSync(at, { bigint: true });
    const first = firstNames.get(stats.ino);
    if (first === undefined && !stats.isDirectory()) firstNames.set(stats.ino, path);
    const type = Number(stats.mode & 0o170000n).toString(8);
    tree[path] = {
      type,
      mode: Number(stats.mode & 0o7777n).toString(8),
      owner: `${stats.uid}:${stats.gid}`,
      mtime: stats.mtimeNs.toString(),
      xattrs: Object.fromEntries([...getXattrs(at)].map(([name, value]) => [name, value.toString('hex')])),
      ...(first === undefined ? {} : { sameAs: first }),
      ...(stats.isSymbolicLink() ? { link: fs.readlinkSync(at, { encoding: 'latin1' }) } : {}),
      ...(stats.isFile()
        ? { size: Number(stats.size), sha256: hash('sha256', fs.readFileSync(at), 'hex') }
        : {}),
    };
    if (!stats.isDirectory()) return;
    for (const name of fs.readdirSync(at, { encoding: 'latin1' }).sort())
      visit(path === '' ? name : `${path}/${name}`);
  };
  visit('');
  return tree;
}
