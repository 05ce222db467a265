/** What makes two builds of the same sources the same bytes. */
import { chmod, lutimes, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** The time of everything that is packed; seconds. A release sets it to the time of its commit. */
export const SOURCE_DATE_EPOCH = Number(process.env['SOURCE_DATE_EPOCH'] ?? 0);

/** Modes and times in a folder then depend neither on when nor by whom the sources were checked out. */
export async function normalise(dir: string): Promise<void> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const paths = entries.map((entry) => join(entry.parentPath, entry.name));
  for (const path of [...paths, dir]) {
    const { mode } = await stat(path);
    await chmod(path, mode & 0o100 ? 0o755 : 0o644);
    await lutimes(path, SOURCE_DATE_EPOCH, SOURCE_DATE_EPOCH);
  }
}
