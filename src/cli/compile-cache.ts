/** Keeps what V8 compiles, so that later runs of the same program start faster: by up to 0.15 s where they reach S3. */
import { mkdirSync, statSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { isAbsolute, join } from 'node:path';

/** Below $XDG_CACHE_HOME, or .cache of the home; nowhere if others could write to it: the code in it is run. */
export function keepCompiledCode({ XDG_CACHE_HOME, HOME }: NodeJS.ProcessEnv): void {
  const parent = XDG_CACHE_HOME || HOME;
  if (parent === undefined || !isAbsolute(parent) || parent === '/') return;
  const directory = join(parent, XDG_CACHE_HOME ? '' : '.cache', 'km-backup', 'compiled');
  try {
    if (!isOurs(parent)) return;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    if (isOurs(directory)) enableCompileCache({ directory });
  } catch {
    // A home that is missing, full or read-only: the program works without.
  }
}

function isOurs(directory: string): boolean {
  const { uid, mode } = statSync(directory);
  return uid === process.geteuid?.() && (mode & 0o022) === 0;
}
