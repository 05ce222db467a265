import { createHash } from 'node:crypto';
import { copyFile, mkdir, readFile, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { cached } from '../cluster/cache.ts';
import { GO_ENV, GO_FLAGS } from '../cluster/go.ts';
import { cacheRoot } from '../cluster/layout.ts';
import { run } from '../cluster/process.ts';
import { elapsedLog } from '../cluster/progress.ts';
import type { KubeObject } from './kubectl.ts';

const SOURCE = join(import.meta.dirname, '../cluster/kstatus');
const FILES = ['go.mod', 'go.sum', 'main.go'];

/** Builds the program around kstatus. @returns its path. */
export async function ensureKstatus(): Promise<string> {
  const key = createHash('sha256');
  for (const file of FILES) key.update(await readFile(join(SOURCE, file)));
  const dir = await cached(
    cacheRoot(process.env, homedir()),
    `kstatus-${key.digest('hex').slice(0, 12)}`,
    elapsedLog(process.stderr),
    'building kstatus from the Go module proxy',
    async (out) => {
      const work = join(out, 'src');
      await mkdir(work);
      for (const file of FILES) await copyFile(join(SOURCE, file), join(work, file));
      await run('go', ['build', ...GO_FLAGS, '-o', join(out, 'kstatus'), '.'], { cwd: work, env: GO_ENV });
      await rm(work, { recursive: true });
    },
  );
  return join(dir, 'kstatus');
}

/** What kstatus, and so Flux and other tools, make of each object: Current, InProgress, Failed, … */
export async function kstatusOf(program: string, objects: readonly KubeObject[]): Promise<string[]> {
  const { stdout } = await run(program, [], { input: JSON.stringify(objects) });
  return stdout.trim().split('\n');
}
