/** Builds kopia from its Go module, once for each version. */
import { writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { cached } from '../../test/cluster/cache.ts';
import { cacheRoot } from '../../test/cluster/layout.ts';
import { run } from '../../test/cluster/process.ts';
import type { Log } from '../../test/cluster/progress.ts';

const VERSION = 'v0.22.3';

/** @returns path of the program */
export async function ensureKopia(log: Log): Promise<string> {
  const root = cacheRoot(process.env, homedir());
  const dir = await cached(root, `kopia-${VERSION}`, log, 'building kopia', async (out) => {
    const env = { CGO_ENABLED: '0', GOWORK: 'off', GOFLAGS: '-mod=mod' };
    // A module of its own: `go install` refuses kopia's replace directives.
    writeFileSync(join(out, 'go.mod'), 'module kopia\n');
    await run('go', ['get', '-tool', `github.com/kopia/kopia@${VERSION}`], { cwd: out, env });
    await run('go', ['build', '-trimpath', '-o', join(out, 'kopia'), 'github.com/kopia/kopia'], {
      cwd: out,
      env,
    });
  });
  return join(dir, 'kopia');
}
