import fs from 'node:fs';
import { codeOf } from '../../posix/system-error.ts';
import { ArchiveError } from '../errors.ts';
import { type ByteString, display, join, toPath } from '../format/byte-string.ts';

/**
 * Deletes a tree: symlinks are removed, not followed, and nothing on another file system is touched
 * (throws `RestoreFailed` where something is mounted inside). A missing tree is fine.
 */
export function removeTree(root: ByteString): void {
  const stats = fs.lstatSync(toPath(root), { throwIfNoEntry: false });
  if (!stats) return;
  if (!stats.isDirectory()) fs.unlinkSync(toPath(root));
  else removeDirectory(root, stats.dev);
}

function removeDirectory(directory: ByteString, device: number): void {
  const path = toPath(directory);
  const stats = fs.lstatSync(path);
  if (stats.dev !== device) {
    throw new ArchiveError(
      'RestoreFailed',
      `${display(directory)}: something is mounted there; unmount it and run again`,
    );
  }
  // What its owner may not search or change cannot be emptied either.
  if ((stats.mode & 0o700) !== 0o700) fs.chmodSync(path, 0o700);
  for (const entry of fs.readdirSync(path, { withFileTypes: true, encoding: 'buffer' })) {
    const child = join(directory, entry.name.toString('latin1') as ByteString);
    if (entry.isDirectory()) removeDirectory(child, device);
    else removeFile(child);
  }
  fs.rmdirSync(path);
}

function removeFile(file: ByteString): void {
  try {
    fs.unlinkSync(toPath(file));
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}
