import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { type FileStatus, statusOf } from '../../posix/status.ts';
import { syncDirectory } from '../../posix/sync.ts';
import { codeOf } from '../../posix/system-error.ts';
import { ensureDirectory, freeName, managedFiles, publish } from '../destination/directory.ts';
import { GrowingFile } from '../destination/growing-file.ts';
import { ArchiveError, writeError } from '../errors.ts';
import { fromText } from '../format/byte-string.ts';
import type { Summary } from '../format/manifest.ts';
import { readSummary } from '../format/manifest-reader.ts';
import { ManifestWriter } from '../format/manifest-writer.ts';
import {
  type Compression,
  isManagedName,
  isOwnName,
  manifestNameOf,
  temporaryName,
} from '../format/names.ts';
import { WorkerPool } from '../pool/worker-pool.ts';
import { PACKING } from './chunker.ts';
import type { CreateJobs } from './jobs.ts';
import { Packer, type PackTotals } from './pack.ts';
import { compilePatterns } from './patterns.ts';
import { Previous } from './previous.ts';
import { formatWarning, Walk, type Warning } from './walk.ts';

export interface CreateOptions {
  readonly source: string;
  readonly destination: string;
  /** File name to write in place of a managed one; an unmanaged file of that name is replaced. */
  readonly outputName?: string | undefined;
  readonly series?: string | undefined;
  readonly compression: Compression;
  readonly level: number;
  readonly exclude: readonly string[];
  readonly include: readonly string[];
  /** Read every file, whatever the previous archive holds. */
  readonly full: boolean;
  readonly allowEmpty: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly now: () => Date;
  /** `expectedBytes`: what the previous archive's source had. */
  readonly progress?: ((totals: PackTotals, expectedBytes: number | undefined) => void) | undefined;
  /** Called at each named failpoint, for tests that stop a run there. */
  readonly failpoint?: ((name: string) => void) | undefined;
  readonly threads?: number | undefined;
}

export interface Created {
  readonly name: string;
  readonly path: string;
  readonly manifestSha256: string;
  readonly summary: Summary;
  /** Members of the previous archive that no longer match their digests; packed anew. */
  readonly corrupt: { readonly archive: string; readonly members: number } | undefined;
}

const MAX_SAMPLES = 20;

/**
 * Packs the source into a new archive of the destination. The final name appears once archive and manifest
 * are written, compared and synced. Hold the destination's lock. Throws ArchiveError, leaving no trace.
 */
export async function createArchive(options: CreateOptions): Promise<Created> {
  const startedAt = options.now();
  const failpoint = options.failpoint ?? (() => {});
  const root = sourceRoot(options.source);
  ensureDirectory(options.destination);
  const target = directoryStatus(options.destination);
  const onlyOwn =
    options.outputName !== undefined || (root.device === target?.device && root.ino === target.ino);

  let warnings = 0;
  const samples: string[] = [];
  const warn = (warning: Warning) => {
    warnings++;
    if (samples.length < MAX_SAMPLES) samples.push(formatWarning(warning));
  };
  const corrupt = new Set<number>();
  const token = randomBytes(8).toString('hex');
  failpoint('begin');
  const archive = new GrowingFile(path.join(options.destination, temporaryName(token)));
  let manifestFile: GrowingFile | undefined;
  let publishedManifest: string | undefined;
  const walk = new Walk({
    root: fromText(options.source),
    exclude: compilePatterns(options.exclude),
    include: compilePatterns(options.include),
    destination: target,
    onlyOwnFiles: onlyOwn
      ? (name) =>
          isOwnName(name) || name === options.outputName || name === manifestNameOf(options.outputName ?? '')
      : undefined,
    warn,
  });
  try {
    manifestFile = new GrowingFile(path.join(options.destination, temporaryName(`${token}-manifest`)));
    const manifest = new ManifestWriter(manifestFile);
    failpoint('temporaries made');
    await using pool = new WorkerPool<CreateJobs>(options.threads);
    pool.warm();
    await using previous = options.full ? undefined : findPrevious(options);
    const packer = new Packer({
      archive,
      manifest,
      pool,
      settings: { compression: options.compression, level: options.level },
      previous,
      signal: options.signal,
      warn,
      corrupt: ({ offset }) => corrupt.add(offset),
      progress: (totals) => options.progress?.(totals, previous?.sourceBytes),
      failpoint,
    });
    await packer.pack(walk);
    const { totals } = packer;
    if (walk.counts.contents === 0 && !options.allowEmpty) {
      throw new ArchiveError(
        'SourceEmpty',
        warnings > 0
          ? `${options.source}: nothing in it could be read. ${samples[0]}`
          : `${options.source} holds no files, only directories if anything (a volume that is not mounted?).`,
      );
    }
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
      ...totals,
      socketsSkipped: walk.counts.sockets,
      excluded: walk.counts.excluded,
      warnings: { count: warnings, samples },
    };
    manifest.finish(summary);
    await manifestFile.sync();
    manifestFile.close();
    checkManifest(manifestFile);
    failpoint('manifest synced');
    options.signal?.throwIfAborted();

    const final = path.join(options.destination, name);
    const finalManifest = path.join(options.destination, manifestNameOf(name));
    if (options.outputName !== undefined && !isManagedName(name)) {
      // Between the two renames the manifest tells of another archive: verify then says so.
      renameSync(manifestFile.path, finalManifest);
      renameSync(archive.path, final);
    } else {
      publish(manifestFile.path, finalManifest);
      publishedManifest = finalManifest;
      failpoint('manifest named');
      publish(archive.path, final);
    }
    publishedManifest = undefined;
    failpoint('archive named');
    syncDirectory(options.destination);
    failpoint('directory synced');
    return {
      name,
      path: final,
      manifestSha256: manifestFile.digest(),
      summary,
      corrupt:
        corrupt.size > 0 && previous
          ? { archive: path.basename(previous.path), members: corrupt.size }
          : undefined,
    };
  } catch (error) {
    for (const file of [archive, manifestFile]) {
      try {
        file?.close();
      } catch {
        // The run has failed already, and for the first reason.
      }
      if (file) rmSync(file.path, { force: true });
    }
    if (publishedManifest !== undefined) rmSync(publishedManifest, { force: true });
    if (codeOf(error) !== undefined) throw writeError(error, options.destination);
    throw error;
  } finally {
    walk.close();
  }
}

function sourceRoot(source: string): FileStatus {
  let status: FileStatus | undefined;
  try {
    status = directoryStatus(source);
  } catch (error) {
    throw sourceMissing(source, codeOf(error) ?? String(error), error);
  }
  if (!status) throw sourceMissing(source, 'ENOENT');
  return status;
}

function sourceMissing(source: string, code: string, cause?: unknown): ArchiveError {
  const what =
    code === 'ENOTDIR'
      ? `${source} is not a directory.`
      : `The source ${source} cannot be read (${code}). Check that the volume is mounted there.`;
  return new ArchiveError('SourceMissing', what, { cause });
}

/** Of what the path leads to: the slash has the kernel follow a symlink, and refuse what is no directory. */
function directoryStatus(directory: string): FileStatus | undefined {
  return statusOf(`${fromText(directory)}/`);
}

function checkManifest(manifest: GrowingFile): void {
  const bytes = readFileSync(manifest.path);
  if (createHash('sha256').update(bytes).digest('hex') !== manifest.digest()) {
    throw new ArchiveError('WriteFailed', `${manifest.path}: what was read back is not what was written.`);
  }
}

/** The newest sound archive whose members fit this run: same series, compression, level and packing rules. */
function findPrevious(options: CreateOptions): Previous | undefined {
  const candidates = managedFiles(options.destination)
    .flatMap((file) => {
      const manifestPath = manifestNameOf(file.path);
      const summary = summaryOrNothing(manifestPath);
      return summary ? [{ file, manifestPath, summary }] : [];
    })
    .filter(
      ({ file, summary }) =>
        summary.archive === file.name &&
        summary.sizeBytes === file.sizeBytes &&
        summary.series === (options.series ?? null) &&
        summary.compression === options.compression &&
        summary.level === options.level &&
        summary.packing === PACKING,
    )
    .sort((a, b) => Date.parse(b.summary.startedAt) - Date.parse(a.summary.startedAt));
  const [newest] = candidates;
  return newest && new Previous(newest.file.path, newest.manifestPath, newest.summary);
}

function summaryOrNothing(manifestPath: string): Summary | undefined {
  try {
    return readSummary(manifestPath);
  } catch {
    // A damaged manifest makes its archive useless for reuse; verify and list tell of it.
    return undefined;
  }
}
