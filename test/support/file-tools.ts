/** Programs for Node.js in a pod of the image, which look at or set what tests of owners and attributes need. */

/** Beginning of a program: file functions, and attributes through libc. */
export const fileTools = `
import { chmodSync, chownSync, lchownSync, lstatSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
const koffi = createRequire('/app/package.json')('koffi');
const libc = koffi.load('libc.so.6');
const lset = libc.func('int lsetxattr(const char *path, const char *name, const void *value, size_t size, int flags)');
const llist = libc.func('long llistxattr(const char *path, void *list, size_t size)');
const lget = libc.func('long lgetxattr(const char *path, const char *name, void *value, size_t size)');
const setXattr = (path, name, value) => {
  if (lset(path, name, value, value.length, 0) !== 0) throw new Error('lsetxattr ' + name + ' of ' + path);
};
/** linux/capability.h, revision 2: one permitted capability, effective. */
const capability = (bit) => {
  const value = Buffer.alloc(20);
  value.writeUInt32LE(0x02000001, 0);
  value.writeUInt32LE((1 << bit) >>> 0, 4);
  return value;
};
/** linux/posix_acl_xattr.h: owner rw, one named user rw, group r, mask rw, others nothing. */
const acl = (uid) => {
  const entries = [[1, 6, 0xffffffff], [2, 6, uid], [4, 4, 0xffffffff], [16, 6, 0xffffffff], [32, 0, 0xffffffff]];
  const value = Buffer.alloc(4 + 8 * entries.length);
  value.writeUInt32LE(2, 0);
  entries.forEach(([tag, permissions, id], index) => {
    value.writeUInt16LE(tag, 4 + 8 * index);
    value.writeUInt16LE(permissions, 6 + 8 * index);
    value.writeUInt32LE(id, 8 + 8 * index);
  });
  return value;
};
const xattrs = (path) => {
  const buffer = Buffer.alloc(65536);
  const names = buffer.toString('latin1', 0, Math.max(0, llist(path, buffer, buffer.length))).split('\\0').slice(0, -1);
  return names.filter((name) => name !== 'security.selinux').sort().map((name) => {
    const size = lget(path, name, buffer, buffer.length);
    return name + '=' + buffer.toString('hex', 0, Math.max(0, size));
  });
};
`;

/** Program that prints owner, group, mode, time and attributes of everything below `root` except the restore's own state. */
export const everything = (root: string): string => `${fileTools}
const lines = [];
const walk = (path) => {
  const { uid, gid, mode, mtimeNs } = lstatSync(${JSON.stringify(root)} + path, { bigint: true });
  lines.push([uid, gid, mode.toString(8), mtimeNs, path || '/', ...xattrs(${JSON.stringify(root)} + path)].join(' '));
  if ((mode & 0o170000n) !== 0o040000n) return;
  for (const name of readdirSync(${JSON.stringify(root)} + path).sort()) if (name !== '.km-restore') walk(path + '/' + name);
};
walk('');
console.log(lines.join('\\n'));
`;
