import { closeSync, openSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { isSystemError } from '../../posix/system-error.ts';
import { archiveInfo } from '../destination/inventory.ts';
import { ArchiveError, writeError } from '../errors.ts';
import { type ByteString, fromText, ROOT } from '../format/byte-string.ts';
import type { Entry } from '../format/entry.ts';
import { normalizeName } from '../format/entry-name.ts';
import type { Member, Summary } from '../format/manifest.ts';
import { readManifest } from '../format/manifest-reader.ts';
import { readMember } from '../format/members.ts';
import { manifestNameOf } from '../format/names.ts';
import { TarReader } from '../format/tar-reader.ts';
import { FileSink, TreeWriter } from './tree-writer.ts';
import { EntryGate } from './validate.ts';

export interface ExtractOptions {
  /** Paths within the archive; a directory brings all below it. */
  readonly paths: readonly string[];
  /** Existing directory to write below. */
  readonly directory: string;
  readonly owner: boolean;
  readonly warn: (path: ByteString, message: string) => void;
  readonly signal?: AbortSignal | undefined;
  /** After each member; bytes are compressed ones. */
  readonly progress?: ((progress: ExtractProgress) => void) | undefined;
}

export interface ExtractProgress {
  readonly entries: number;
  readonly ofEntries: number;
  readonly bytes: number;
  readonly ofBytes: number;
}

export interface Extracted {
  readonly entries: number;
  /** Compressed bytes read for it. */
  readonly bytesRead: number;
}

interface Wanted {
  readonly members: Member[];
  readonly entries: readonly Entry[];
}

/**
 * Writes chosen entries of an archive, reading only the members that hold them. Nothing that exists is
 * replaced. Throws `EntryMissing` before anything is written where a path is not in the archive.
 */
export async function extractEntries(file: string, options: ExtractOptions): Promise<Extracted> {
  try {
    return await extract(file, options);
  } catch (error) {
    throw isSystemError(error) ? writeError(error, options.directory) : error;
  }
}

async function extract(file: string, options: ExtractOptions): Promise<Extracted> {
  const info = archiveInfo(file);
  if (!info.summary || info.problem !== undefined) {
    throw new ArchiveError(
      'ArchiveCorrupt',
      `${file} ${info.problem ?? 'has no manifest, which tells where its entries lie'}. Use tar -xzf, or km-backup restore.`,
    );
  }
  const paths = new Set(options.paths.map(plainPath));
  const { wanted, selected } = await choose(file, paths, options.signal);
  const gate = new EntryGate({ preserveSetid: false, skipDevices: true });
  using writer = new TreeWriter(options.directory, options);
  const directories: Entry[] = [];
  const fd = openSync(file, 'r');
  let bytesRead = 0;
  let done = 0;
  const ofBytes = wanted.reduce(
    (sum, { members }) => members.reduce((size, member) => size + member.size, sum),
    0,
  );
  try {
    let sink: FileSink | undefined;
    const admit = (entry: Entry) => {
      const known = selected.get(entry.path);
      if (!known) return;
      done++;
      const admission = gate.admit(known);
      if (admission.kind === 'skip') {
        options.warn(entry.path, admission.why);
        return;
      }
      for (const parent of admission.implied) writer.directory(parent);
      const { entry: admitted } = admission;
      switch (admitted.type) {
        case 'directory':
          if (admitted.path !== ROOT) writer.directory(admitted.path);
          directories.push(admitted);
          return;
        case 'file':
          sink = new FileSink(writer, admitted);
          return;
        case 'symlink':
          writer.symlink(admitted);
          return;
        case 'hardlink':
          writer.hardlink(admitted);
          return;
        default:
          writer.fifo(admitted);
      }
    };
    const reader = new TarReader({
      entry: admit,
      data: (chunk, offset) => sink?.write(chunk, offset),
      endEntry: () => {
        try {
          sink?.finish();
        } finally {
          sink?.close();
          sink = undefined;
        }
      },
    });
    for (const { members } of wanted) {
      for (const member of members) {
        options.signal?.throwIfAborted();
        bytesRead += member.size;
        reader.push(readMember(fd, member, info.summary.compression));
        options.progress?.({ entries: done, ofEntries: selected.size, bytes: bytesRead, ofBytes });
        // Lets a signal in.
        await setImmediate();
      }
    }
  } finally {
    closeSync(fd);
  }
  for (const entry of directories.reverse()) if (entry.path !== ROOT) writer.finishDirectory(entry);
  return { entries: selected.size, bytesRead };
}

async function choose(
  file: string,
  paths: ReadonlySet<ByteString>,
  signal: AbortSignal | undefined,
): Promise<{ wanted: Wanted[]; selected: Map<ByteString, Entry> }> {
  let selected = new Map<ByteString, Entry>();
  let wanted: Wanted[] = [];
  const missing = new Set(paths);
  // A hard link needs the earlier name that holds its data: chosen in a further pass.
  const also = new Set<ByteString>();
  for (let again = true; again; ) {
    again = false;
    selected = new Map();
    wanted = [];
    let open: Wanted | undefined;
    for await (const { member, entries } of readManifest(manifestNameOf(file)) as AsyncGenerator<
      { member: Member; entries: readonly Entry[] },
      Summary
    >) {
      signal?.throwIfAborted();
      if (member.kind === 'part') {
        open?.members.push(member);
        continue;
      }
      open = undefined;
      const hits = entries.filter(({ path }) => also.has(path) || covers(paths, path, missing));
      if (hits.length === 0) continue;
      for (const entry of hits) {
        selected.set(entry.path, entry);
        if (entry.type === 'hardlink' && !selected.has(entry.link!) && !also.has(entry.link!)) {
          also.add(entry.link!);
          again = true;
        }
      }
      open = { members: [member], entries: hits };
      wanted.push(open);
    }
    if (missing.size > 0) {
      throw new ArchiveError(
        'EntryMissing',
        `${file} holds no ${[...missing].map((path) => JSON.stringify(`./${path}`)).join(', ')}. km-backup ls ARCHIVE lists what it holds.`,
      );
    }
  }
  return { wanted, selected };
}

/** Whether the path or a directory above it is asked for. */
function covers(paths: ReadonlySet<ByteString>, path: ByteString, missing: Set<ByteString>): boolean {
  let hit = paths.has(path) || paths.has(ROOT);
  if (paths.has(path)) missing.delete(path);
  for (let cut = path.lastIndexOf('/'); !hit && cut > 0; cut = path.lastIndexOf('/', cut - 1)) {
    hit = paths.has(path.slice(0, cut) as ByteString);
  }
  return hit;
}

function plainPath(path: string): ByteString {
  const verdict = path === '.' || path === './' ? { path: ROOT } : normalizeName(fromText(path));
  if (verdict.refused !== undefined) {
    throw new ArchiveError(
      'Usage',
      `${JSON.stringify(path)} cannot be in an archive: it has ${verdict.refused}.`,
    );
  }
  return verdict.path;
}
