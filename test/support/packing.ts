import path from 'node:path';
import type { CreateJobs } from '../../src/archive/create/jobs.ts';
import { warnOfLateArrivals } from '../../src/archive/create/late-arrivals.ts';
import { Packer } from '../../src/archive/create/pack.ts';
import { openPrevious } from '../../src/archive/create/previous.ts';
import { Selection } from '../../src/archive/create/selection.ts';
import { SourceRoot } from '../../src/archive/create/source-root.ts';
import { type Found, Walk } from '../../src/archive/create/walk.ts';
import { formatWarning, type Warning } from '../../src/archive/create/warning.ts';
import { GrowingFile } from '../../src/archive/destination/growing-file.ts';
import { ManifestWriter } from '../../src/archive/format/manifest-writer.ts';
import { WorkerPool } from '../../src/archive/pool/worker-pool.ts';
import { realTime } from '../../src/posix/clock.ts';
import type { Sandbox } from './backup.ts';

export interface Meddling {
  /** Called for each entry once it is listed, before it is opened. */
  readonly found?: (path: string) => void;
  /** Called before each job of the worker threads. */
  readonly job?: (kind: string) => unknown;
  /** Reuse the newest archive of the sandbox's destination. */
  readonly reuse?: boolean;
  readonly pool?: WorkerPool<CreateJobs>;
}

class MeddlingPool extends WorkerPool<CreateJobs> {
  readonly #before: (kind: string) => unknown;

  constructor(before: (kind: string) => unknown) {
    super(2);
    this.#before = before;
  }

  override run<K extends keyof CreateJobs>(kind: K, input: Parameters<CreateJobs[K]>[0]) {
    this.#before(kind);
    return super.run(kind, input);
  }
}

/** Packs the sandbox's source while hooks change it. */
export async function packWhile(
  box: Sandbox,
  meddling: Meddling,
): Promise<{ warnings: string[]; archive: string; reusedBytes: number }> {
  const archive = new GrowingFile(path.join(box.root, 'out.tgz'));
  const manifest = new GrowingFile(path.join(box.root, 'out.manifest'));
  const warnings: string[] = [];
  const warn = (warning: Warning) => warnings.push(formatWarning(warning));
  using source = new SourceRoot(box.source, undefined);
  const root = source.fd;
  const selection = new Selection({});
  const settings = { compression: 'gzip', level: 5 } as const;
  await using pool = meddling.pool ?? new MeddlingPool(meddling.job ?? (() => {}));
  await using previous = meddling.reuse ? openPrevious(box.destination, undefined, settings) : undefined;
  const packer = new Packer({
    root,
    archive,
    manifest: new ManifestWriter(manifest),
    pool,
    settings,
    previous,
    signal: undefined,
    warn,
    corrupt: () => {},
    progress: () => {},
    failpoint: () => {},
  });
  const startedAt = realTime();
  // Wait until the file system's coarse clock has moved, so that new files are younger than the run.
  while (realTime() < startedAt + 2e7);
  const walk = new Walk({ root, selection, warn });
  await packer.pack(watched(walk, meddling.found ?? (() => {})));
  warnOfLateArrivals({ root, listings: walk.listings, selection, startedAt, warn });
  archive.close();
  manifest.close();
  return { warnings, archive: archive.path, reusedBytes: packer.totals.reusedBytes };
}

function* watched(walk: Iterable<Found>, found: (path: string) => void): Generator<Found> {
  for (const each of walk) {
    found(each.entry.path);
    yield each;
  }
}
