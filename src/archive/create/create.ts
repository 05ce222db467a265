import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import path from 'node:path';
import { realTime } from '../../posix/clock.ts';
import { type FileStatus, statusOf } from '../../posix/status.ts';
import { codeOf } from '../../posix/system-error.ts';
import { ensureDirectory, freeName } from '../destination/directory.ts';
import { GrowingFile } from '../destination/growing-file.ts';
import { ArchiveError, writeError } from '../errors.ts';
import { fromText } from '../format/byte-string.ts';
import type { Summary } from '../format/manifest.ts';
import { ManifestWriter } from '../format/manifest-writer.ts';
import { type Compression, manifestNameOf, temporaryName } from '../format/names.ts';
import type { Suspicion } from '../format/suspicion.ts';
import { WorkerPool } from '../pool/worker-pool.ts';
import { PACKING } from './chunker.ts';
import type { CreateJobs } from './jobs.ts';
import { warnOfLateArrivals } from './late-arrivals.ts';
import { Packer, type PackTotals } from './pack.ts';
import { compilePatterns } from './patterns.ts';
import { openPrevious } from './previous.ts';
import { publishArchive } from './publish.ts';
import { Selection } from './selection.ts';
import { SourceRoot } from './source-root.ts';
import { Walk } from './walk.ts';
import { formatWarning, type Warning } from './warning.ts';

export interface CreateOptions {
  readonly source: string;
  /** Directory that must contain the source. A symlink that leads out of it is refused. */
  readonly sourceVolume?: string | undefined;
  readonly destination: string;
  /** File name to write instead of a managed one. An unmanaged file with this name is replaced. */
  readonly outputName?: string | undefined;
  readonly series?: string | undefined;
  readonly compression: Compression;
  readonly level: number;
  readonly exclude: readonly string[];
  readonly include: readonly string[];
  /** Read every file, even if the previous archive holds it unchanged. */
  readonly full: boolean;
  readonly allowEmpty: boolean;
  /** Says whether the new archive is suspicious; undefined: no archive is. */
  readonly guard?: Guard | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly now: () => Date;
  /** `expectedBytes`: the size of the source of the previous archive. */
  readonly progress?: ((totals: PackTotals, expectedBytes: number | undefined) => void) | undefined;
  /** Called at each named failpoint, for tests that stop a run there. */
  readonly failpoint?: ((name: string) => void) | undefined;
  readonly threads?: number | undefined;
}

/**
 * Compares a new archive with the one before it, before the new one gets its name.
 * @returns Why it is suspicious, and notes for people.
 */
export type Guard = (made: {
  /** Path of its manifest, which does not have its final name. */
  readonly manifest: string;
  readonly summary: Summary;
  readonly destination: string;
  readonly signal: AbortSignal | undefined;
}) => Promise<{ readonly suspicion?: Suspicion | undefined; readonly notes: readonly string[] }>;

export interface Created {
  readonly name: string;
  readonly path: string;
  readonly manifestSha256: string;
  readonly summary: Summary;
  readonly suspicion: Suspicion | undefined;
  /** What a person should know although the archive is sound, in sentences. */
  readonly notes: readonly string[];
}

const MAX_SAMPLES = 20;

/**
 * Packs the source into a new archive. The caller holds the lock of the destination. The final name appears only
 * once archive and manifest are written, compared and synced.
 * @throws {ArchiveError} when no archive was made, and no trace of one is left; or as publishArchive does
 */
export async function createArchive(options: CreateOptions): Promise<Created> {
  const startedAt = options.now();
  const failpoint = options.failpoint ?? (() => {});
  using root = new SourceRoot(options.source, options.sourceVolume);
  ensureDirectory(options.destination);
  const warnings = new Warnings();
  const token = randomBytes(8).toString('hex');
  failpoint('begin');
  const archive = new GrowingFile(path.join(options.destination, temporaryName(token)));
  let manifestFile: GrowingFile | undefined;
  try {
    manifestFile = new GrowingFile(path.join(options.destination, temporaryName(`${token}-manifest`)));
    const manifest = new ManifestWriter(manifestFile);
    failpoint('temporaries made');
    const packed = await pack(options, { root, archive, manifest, warnings });
    failpoint('members written');
    await archive.sync();
    archive.close();
    failpoint('archive synced');
    options.signal?.throwIfAborted();

    const name = options.outputName ?? freeName(options.destination, startedAt, options.compression);
    const summary: Summary = {
      format: 1,
      archive: name,
      series: options.series ?? null,
      startedAt: startedAt.toISOString(),
      finishedAt: options.now().toISOString(),
      compression: options.compression,
      level: options.level,
      packing: PACKING,
      sizeBytes: archive.position,
      sha256: archive.digest(),
      ...packed.totals,
      warnings: warnings.summary,
    };
    manifest.finish(summary);
    await manifestFile.sync();
    manifestFile.close();
    const judged = await options.guard?.({
      manifest: manifestFile.path,
      summary,
      destination: options.destination,
      signal: options.signal,
    });
    publishArchive({
      archive,
      manifest: manifestFile,
      name,
      suspicion: judged?.suspicion,
      options,
      failpoint,
    });
    return {
      name,
      path: path.join(options.destination, name),
      manifestSha256: manifestFile.digest(),
      summary,
      suspicion: judged?.suspicion,
      notes: [...packed.notes, ...(judged?.notes ?? [])],
    };
  } catch (error) {
    for (const file of [archive, manifestFile]) if (file) discard(file);
    if (codeOf(error) !== undefined) throw writeError(error, options.destination);
    throw error;
  }
}

interface Packing {
  readonly root: SourceRoot;
  readonly archive: GrowingFile;
  readonly manifest: ManifestWriter;
  readonly warnings: Warnings;
}

type SourceTotals = PackTotals & Pick<Summary, 'socketsSkipped' | 'excluded'>;

/** Writes all members of the archive. */
async function pack(
  options: CreateOptions,
  { root, archive, manifest, warnings }: Packing,
): Promise<{ totals: SourceTotals; notes: string[] }> {
  const { signal, destination, series, compression, level } = options;
  const settings = { compression, level };
  const warn = (warning: Warning) => warnings.add(warning);
  const selection = selectionOf(options, root);
  await using pool = new WorkerPool<CreateJobs>(options.threads);
  pool.warm();
  await using previous = options.full ? undefined : openPrevious(destination, series, settings);
  const packer = new Packer({
    root: root.fd,
    archive,
    manifest,
    pool,
    settings,
    previous,
    signal,
    warn,
    corrupt: (member) => previous?.addCorrupt(member),
    progress: (totals) => options.progress?.(totals, previous?.sourceBytes),
    failpoint: options.failpoint ?? (() => {}),
  });
  const startedAt = realTime();
  const walk = new Walk({ root: root.fd, selection, warn });
  await packer.pack(walk);
  warnOfLateArrivals({ root: root.fd, listings: walk.listings, selection, startedAt, warn });
  const { contents, sockets, excluded } = walk.counts;
  if (contents === 0 && !options.allowEmpty) throw sourceEmpty(options.source, warnings);
  return {
    totals: { ...packer.totals, socketsSkipped: sockets, excluded },
    notes: previous?.damage === undefined ? [] : [previous.damage],
  };
}

function selectionOf(options: CreateOptions, root: SourceRoot): Selection {
  const { destination, outputName } = options;
  const status = directoryStatus(destination);
  const isSource =
    status !== undefined && root.status.device === status.device && root.status.ino === status.ino;
  return new Selection({
    exclude: compilePatterns(options.exclude),
    include: compilePatterns(options.include),
    destination: status,
    sharedDestination:
      outputName !== undefined || isSource
        ? { outputNames: outputName === undefined ? [] : [outputName, manifestNameOf(outputName)] }
        : undefined,
  });
}

/** With a slash at the end, the kernel follows a symlink and refuses anything but a directory. */
function directoryStatus(directory: string): FileStatus | undefined {
  return statusOf(`${fromText(directory)}/`);
}

function sourceEmpty(source: string, { summary: { count, samples } }: Warnings): ArchiveError {
  return new ArchiveError(
    'SourceEmpty',
    count > 0
      ? `${source}: nothing in it could be read. ${samples[0]}`
      : `${source} holds no files, only directories if anything (a volume that is not mounted?).`,
  );
}

/** Counts all warnings and keeps the first few. */
class Warnings {
  readonly summary: { count: number; samples: string[] } = { count: 0, samples: [] };

  add(warning: Warning): void {
    this.summary.count++;
    if (this.summary.samples.length < MAX_SAMPLES) this.summary.samples.push(formatWarning(warning));
  }
}

function discard(file: GrowingFile): void {
  try {
    file.close();
  } catch {
    // The run has failed already, for the reason that is reported.
  }
  rmSync(file.path, { force: true });
}
