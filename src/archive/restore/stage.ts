import type { Entry } from '../format/entry.ts';
import type { WorkerPool } from '../pool/worker-pool.ts';
import { EntryGate } from './entry-gate.ts';
import type { RestoreJobs } from './jobs.ts';
import type { Source } from './source.ts';
import type { StageOptions } from './stage-options.ts';
import { StagedTree } from './staged-tree.ts';
import { FileSink } from './tree-writer.ts';
import { unpackMembers } from './unpack-members.ts';
import { readWhole, type Totals, type Validated } from './validate.ts';

/** Checks the contents of a source that has a manifest, in parallel. Writes nothing. */
export async function check(
  source: Extract<Source, { against: 'manifest' }>,
  validated: Validated,
  options: StageOptions,
  pool: WorkerPool<RestoreJobs>,
): Promise<void> {
  await unpackMembers(source, validated, undefined, options, pool);
}

/**
 * Unpacks into an empty directory that nobody else uses. Symlinks and hard links come last, so that nothing
 * is ever written through one. Directories get their times when everything is in them.
 */
export async function stage(
  source: Source,
  validated: Validated,
  root: string,
  options: StageOptions,
  pool: WorkerPool<RestoreJobs>,
): Promise<{ reusedBytes: number }> {
  using tree = new StagedTree(root, options);
  let reusedBytes = 0;
  if (source.against === 'manifest') {
    ({ reusedBytes } = await unpackMembers(source, validated, tree, options, pool));
  } else await unpackStream(source, validated.totals, tree, options);
  await tree.finish(options.signal);
  return { reusedBytes };
}

async function unpackStream(
  source: Extract<Source, { against: 'structure' }>,
  { files: ofFiles }: Totals,
  tree: StagedTree,
  { policy, owner, signal, warn, progress, written }: StageOptions,
): Promise<void> {
  const gate = new EntryGate(policy);
  const ofBytes = source.info.sizeBytes;
  let sink: FileSink | undefined;
  let bytesWritten = 0;
  try {
    await readWhole(
      source,
      {
        entry: (given) => {
          const entry = tree.add(gate.admit(given));
          if (entry && !isOwner(entry, owner)) {
            warn(entry.path, `owner ${entry.uid}:${entry.gid} was not restored`, 'owner');
          }
          if (entry?.type === 'file') sink = new FileSink(tree.writer, entry);
        },
        data: (chunk, offset) => {
          sink?.write(chunk, offset);
          bytesWritten += chunk.length;
          written?.(bytesWritten);
        },
        endEntry: () => {
          sink?.finish();
          sink?.close();
          sink = undefined;
        },
        read: (bytes) => progress({ phase: 'unpacking', files: gate.files, ofFiles, bytes, ofBytes }),
      },
      signal,
    );
  } finally {
    sink?.close();
  }
}

function isOwner({ type, uid, gid }: Entry, setsOwners: boolean): boolean {
  return setsOwners || type === 'hardlink' || (uid === process.geteuid?.() && gid === process.getegid?.());
}
