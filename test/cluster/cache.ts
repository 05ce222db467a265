import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Log, step } from './progress.ts';

/**
 * Runs `work` while holding a kernel lock on `file`. The lock ends with this process however it dies, because
 * flock(1) holds it only while its stdin, a pipe from us, stays open.
 */
export async function withLock<T>(file: string, log: Log, work: () => Promise<T>): Promise<T> {
  await mkdir(dirname(file), { recursive: true });
  const holder = spawn('flock', ['--exclusive', file, 'sh', '-c', 'echo locked; exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    // In its own process group, so that Ctrl-C does not release the lock before our clean-up.
    detached: true,
  });
  const waiting = setTimeout(() => log(`waiting for another run that holds ${file}`), 1000);
  try {
    await new Promise<void>((resolve, reject) => {
      holder.once('error', () => reject(new Error('flock is not installed (Debian package util-linux)')));
      holder.once('exit', (code) => reject(new Error(`cannot lock ${file}: flock ended with ${code}`)));
      holder.stdout.once('data', () => resolve());
    });
    clearTimeout(waiting);
    return await work();
  } finally {
    clearTimeout(waiting);
    holder.removeAllListeners('exit');
    holder.stdin.end();
    holder.stdout.destroy();
  }
}

/**
 * Returns the folder `key` of the cache; `fill` makes it if it is missing. It gets its name only once complete, so
 * a killed run leaves at most a temporary folder. Concurrent runs wait for each other.
 */
export async function cached(
  cacheDir: string,
  key: string,
  log: Log,
  label: string,
  fill: (dir: string) => Promise<void>,
): Promise<string> {
  const dir = join(cacheDir, key);
  if (existsSync(dir)) return dir;
  return withLock(join(cacheDir, 'locks', `${key}.lock`), log, async () => {
    if (existsSync(dir)) return dir;
    await mkdir(cacheDir, { recursive: true });
    const temporary = await mkdtemp(`${dir}.partial-`);
    try {
      await step(log, label, () => fill(temporary));
      await rename(temporary, dir);
    } finally {
      await rm(temporary, { recursive: true, force: true });
    }
    return dir;
  });
}
