import fs from 'node:fs';
import path from 'node:path';
import { codeOf } from '../../posix/system-error.ts';
import { ArchiveError } from '../errors.ts';
import { type ByteString, display, fromText, join, toPath } from '../format/byte-string.ts';
import { dataBytes, type Entry } from '../format/entry.ts';
import type { Member } from '../format/manifest.ts';
import { readManifest } from '../format/manifest-reader.ts';
import { manifestNameOf } from '../format/names.ts';
import { readTar } from '../format/read-tar.ts';
import { type Admission, EntryGate } from './entry-gate.ts';
import { refused, shown } from './failures.ts';
import type { Place } from './place.ts';
import { checkPlacesIn } from './preserved-archives.ts';
import type { Source } from './source.ts';
import type { StageOptions } from './stage-options.ts';

export type Totals = Readonly<
  Pick<EntryGate, 'entries' | 'impliedDirectories' | 'files' | 'dataBytes' | 'stripped'>
>;

/** A member as the manifest lists it. */
export interface Listed {
  readonly member: Member;
  readonly lines: string;
  readonly entries: number;
  readonly files: number;
  /** Bytes of the files that lie whole in it, without holes. */
  readonly bytes: number;
  /** Its entries except plain files, which the thread that unpacks them handles alone. */
  readonly noted: readonly Noted[];
}

export interface Noted {
  readonly given: Entry;
  readonly admission: Admission;
}

const MAX_LISTED = 50_000;
/** What `validate` found. */
export interface Validated {
  readonly totals: Totals;
  /** What the manifest lists, kept from the first reading for the second if it is small. */
  readonly listing: readonly Listed[] | undefined;
  /** Names that some file systems refuse as too long. */
  readonly longNames: ReadonlySet<ByteString>;
}

/**
 * Validates every entry, without writing anything. Without a manifest this reads and checks the whole archive;
 * with one, contents are checked later, while they are unpacked.
 *
 * @throws {ArchiveError} RestoreRefused, ArchiveCorrupt or ManifestInvalid.
 */
export async function validate(
  source: Source,
  { policy, signal, warn, progress, preserved }: StageOptions,
): Promise<Validated> {
  const gate = new EntryGate(policy);
  let listing: Listed[] | undefined;
  const report = ({ given, admission }: Noted) => {
    if (admission.kind === 'skip') warn(given.path, `left out: it ${admission.why}`, 'left out');
    else if (admission.entry !== given) warn(given.path, 'setuid, setgid or capabilities removed', 'setid');
  };
  if (source.against === 'manifest') {
    listing = [];
    for await (const listed of list(source.info.path, gate)) {
      signal?.throwIfAborted();
      listed.noted.forEach(report);
      listing?.push(listed);
      if (gate.entries > MAX_LISTED) listing = undefined;
      progress({ phase: 'validating', files: gate.files, ofFiles: source.summary.files });
    }
  } else {
    const entry = (given: Entry) => report({ given, admission: gate.admit(given) });
    const nothing = () => {};
    const read = (bytes: number) =>
      progress({
        phase: 'validating',
        files: gate.files,
        ofFiles: undefined,
        bytes,
        ofBytes: source.info.sizeBytes,
      });
    await readWhole(source, { entry, data: nothing, endEntry: nothing, read }, signal);
  }
  checkPlacesIn(preserved, (at) => gate.kindOf(at));
  // Copied, because the gate holds every path.
  const { entries, impliedDirectories, files, dataBytes, stripped, longNames } = gate;
  return { totals: { entries, impliedDirectories, files, dataBytes, stripped }, listing, longNames };
}

/**
 * Asks the file system of the target whether it takes names of more than 255 bytes: some do.
 *
 * @throws {ArchiveError} RestoreRefused with the first name that it refuses.
 */
export function checkNames(place: Place, names: ReadonlySet<ByteString>): void {
  const directory = fromText(place.kind === 'inside' ? place.target : path.dirname(place.target));
  for (const name of names) {
    try {
      fs.lstatSync(toPath(join(directory, name)), { throwIfNoEntry: false });
    } catch (error) {
      if (codeOf(error) !== 'ENAMETOOLONG') throw error;
      throw refused(
        `the file system of ${shown(place.target)} does not take names of ${name.length} bytes, such as '${display(name)}'. Restore to one that does`,
        error,
      );
    }
  }
}

/** As readTar, with messages for a restore. */
export async function readWhole(
  { info: { path }, compression }: Extract<Source, { against: 'structure' }>,
  handler: Parameters<typeof readTar>[2],
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    await readTar(path, compression, handler, signal);
  } catch (error) {
    if (!(error instanceof ArchiveError) || error.reason !== 'ArchiveCorrupt') throw error;
    throw new ArchiveError(error.reason, `${shown(path)}: ${error.message}. Nothing was changed.`, {
      cause: error,
    });
  }
}

/** Reads the manifest and admits all its entries. */
export async function* list(archive: string, gate: EntryGate): AsyncGenerator<Listed> {
  for await (const { member, entries, lines } of readManifest(manifestNameOf(archive))) {
    const noted: Noted[] = [];
    const filesBefore = gate.files;
    let bytes = -gate.dataBytes;
    for (const given of entries) {
      const admission = gate.admit(given);
      if (!isPlainFile(given, admission)) noted.push({ given, admission });
      if (given.parts !== undefined) bytes -= bytesOf(admission);
    }
    bytes += gate.dataBytes;
    yield { member, lines, entries: entries.length, files: gate.files - filesBefore, bytes, noted };
  }
}

export function bytesOf(admission: Admission): number {
  return admission.kind === 'restore' && admission.entry.type === 'file' ? dataBytes(admission.entry) : 0;
}

function isPlainFile(given: Entry, admission: Admission): boolean {
  return (
    given.type === 'file' &&
    given.parts === undefined &&
    admission.kind === 'restore' &&
    admission.entry === given &&
    admission.implied.length === 0
  );
}
