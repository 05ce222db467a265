/** What list, ls, extract, restore, verify and prune do when they are given a location instead of a path. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ArchiveError, ExitCode, membersOfPaths } from '../../archive/index.ts';
import {
  destinationError,
  existingWriterOf,
  type FetchOptions,
  fetchArchive,
  fetchManifest,
  fetchMembers,
  findList,
  type ListedArchive,
  type Location,
  listedArchives,
  lockCopies,
  openKnownLocation,
  openLocation,
  pruneCopies,
  RECIPE,
  readList,
  verifyCopies,
} from '../../offsite/index.ts';
import type { RetentionPolicy } from '../../retention/index.ts';
import type { CliContext } from './context.ts';
import {
  type CopyFlags,
  type IdentityFlags,
  type LocationFlags,
  openAt,
  openerFor,
} from './location-flags.ts';
import { print, printJson, printJsonText, warn } from './output.ts';
import { formatBytes, table } from './table.ts';

/** `km-backup list LOCATION` */
export async function listLocation(
  url: string,
  flags: LocationFlags & { readonly series?: string; readonly json: boolean; readonly recipe?: boolean },
  context: CliContext,
): Promise<void> {
  if (flags.recipe) {
    process.stdout.write(RECIPE);
    return;
  }
  const location = await openAt(url, flags, context);
  await openLocation(location);
  const rows: Record<string, unknown>[] = [];
  for (const { archive, series } of await listedArchives(location, flags.series)) {
    try {
      const list = await readList(location, series, archive);
      if (!list) continue;
      const { startedAt, sizeBytes, sha256, isSealed, isComplete, packBytes } = list;
      const state = isComplete ? 'complete' : 'incomplete';
      rows.push({ archive, series, state, startedAt, sizeBytes, sha256, isSealed, packs: packBytes.size });
    } catch (error) {
      if (!(error instanceof ArchiveError) || error.reason !== 'ArchiveCorrupt') throw error;
      rows.push({ archive, series, state: 'corrupt', problem: error.message });
    }
  }
  if (flags.json) {
    printJsonText(`${JSON.stringify(rows, null, 2)}\n`);
    return;
  }
  if (rows.length === 0) print(`${location.url} has no copies.`);
  else process.stdout.write(locationTable(rows));
  for (const { problem } of rows) if (typeof problem === 'string') warn(problem);
}

function locationTable(rows: readonly Record<string, unknown>[]): string {
  const text = (value: unknown) => (value === undefined || value === '' ? '-' : String(value));
  return table(
    ['NAME', 'TIME', 'STATE', 'SIZE', 'PACKS', 'ENCRYPTED', 'SERIES'],
    rows.map(({ archive, startedAt, state, sizeBytes, packs, isSealed, series }) => [
      text(archive),
      text(startedAt).slice(0, 19).replace('T', ' '),
      text(state),
      typeof sizeBytes === 'number' ? formatBytes(sizeBytes) : '-',
      text(packs),
      isSealed === undefined ? '-' : isSealed ? 'yes' : 'no',
      text(series),
    ]),
  );
}

/** `km-backup verify LOCATION` */
export async function verifyLocation(
  url: string,
  flags: CopyFlags & { readonly deep: boolean; readonly json: boolean },
  context: CliContext,
): Promise<void> {
  const opener = await openerFor(flags);
  const location = await openAt(url, flags, context);
  await openLocation(location);
  const copies = (await listedArchives(location, flags.series)).filter(
    ({ archive }) => flags.archive === undefined || archive === flags.archive,
  );
  if (copies.length === 0) throw noCopy(location, flags);
  for await (const result of verifyCopies(copies, {
    location,
    deep: flags.deep,
    opener,
    signal: context.signal,
  })) {
    const { archive, sound, packs, bytes, problem } = result;
    if (!sound) context.exitCode = ExitCode.verification;
    const checked = flags.deep ? 'every byte read' : 'packs and their lengths';
    if (flags.json) printJson(result);
    else if (sound) print(`ok   ${archive}: ${packs} packs, ${formatBytes(bytes)} (${checked})`);
    else print(`BAD  ${archive}: ${problem} (${checked})`);
  }
}

export interface PruneLocationFlags extends LocationFlags {
  readonly series?: string;
  readonly dryRun: boolean;
  readonly json: boolean;
  readonly takeOver: boolean;
  readonly graceHours: number;
}

/** `km-backup prune LOCATION` */
export async function pruneLocation(
  url: string,
  policy: RetentionPolicy,
  destination: string | undefined,
  flags: PruneLocationFlags,
  context: CliContext,
): Promise<void> {
  const writer = destination === undefined ? undefined : existingWriterOf(destination);
  if (!writer && !flags.takeOver) {
    throw new ArchiveError(
      'Usage',
      `Which copies in ${url} are yours is known from the directory that they were copied from: pass it as --destination. If it is lost, pass --take-over: then the rules apply to the copies of every writer.`,
    );
  }
  using _lock = destination !== undefined && !flags.dryRun ? lockOf(destination) : undefined;
  const location = await openAt(url, flags, context);
  if (destination === undefined) await openLocation(location);
  else await openKnownLocation(location, destination);
  const seriesOf = new Set((await listedArchives(location)).map(({ series }) => series));
  const series = flags.series === undefined ? [...seriesOf].sort() : [flags.series];
  for (const one of series) {
    const report = await pruneCopies({
      location,
      series: one,
      policy,
      writer: writer?.id ?? 'taken-over',
      takeOver: flags.takeOver,
      graceMs: flags.graceHours * 3_600_000,
      now: new Date(),
      dryRun: flags.dryRun,
    });
    if (flags.json) printJson({ series: one, dryRun: flags.dryRun, ...report });
    else {
      const rows = report.rows.map(({ name, keep, reasons }) => [
        name,
        one === '' ? '-' : one,
        keep ? 'keep' : 'remove',
        reasons.join('; '),
      ]);
      if (rows.length > 0) process.stdout.write(table(['ARCHIVE', 'SERIES', 'DECISION', 'WHY'], rows));
      if (!flags.dryRun) {
        print(
          `Swept ${report.sweptPacks} packs (${formatBytes(report.sweptBytes)}); ${report.deadPacks} dead packs wait for the grace time.`,
        );
      }
    }
    if (report.foreign > 0) {
      warn(`${report.foreign} copies of other writers were left alone (--take-over includes them)`);
    }
    if (report.notSwept !== undefined && !flags.dryRun) warn(`no pack was deleted: ${report.notSwept}`);
    for (const failure of report.failures) warn(`not deleted: ${failure}`);
    if (report.failures.length > 0) context.exitCode = ExitCode.failure;
  }
}

function lockOf(destination: string) {
  try {
    return lockCopies(destination);
  } catch (error) {
    throw destinationError(error, destination);
  }
}

/** The manifest of a copy and a sparse file in its archive's place, in a folder that is removed at the end. */
export class LocalView implements Disposable {
  /** Path of the archive. */
  readonly archive: string;
  readonly #directory: string;

  private constructor(directory: string, archive: string) {
    this.#directory = directory;
    this.archive = archive;
  }

  /**
   * @param paths undefined: the manifest alone; else also the members that hold these paths
   * @throws {ArchiveError} CopyMissing, EntryMissing, IdentityMismatch, PackMissing
   */
  static async of(
    url: string,
    paths: readonly string[] | undefined,
    flags: CopyFlags,
    context: CliContext,
  ): Promise<LocalView> {
    const options = await chooseOn(url, flags, context);
    return await LocalView.ofCopy(options, paths);
  }

  /** The same of a copy that is known. */
  static async ofCopy(options: FetchOptions, paths: readonly string[] | undefined): Promise<LocalView> {
    const directory = mkdtempSync(path.join(tmpdir(), 'km-backup-'));
    const view = new LocalView(directory, path.join(directory, options.archive));
    try {
      const list = await findList(options);
      await fetchManifest(options, list, `${view.archive}.manifest`);
      const members = paths ? await membersOfPaths(view.archive, paths, options.signal) : [];
      await fetchMembers(options, list, members, view.archive);
      return view;
    } catch (error) {
      view[Symbol.dispose]();
      throw error;
    }
  }

  /** The whole archive, bit for bit. @param workDirectory undefined: that of temporary files */
  static async whole(
    url: string,
    flags: CopyFlags & { readonly workDir?: string },
    context: CliContext,
  ): Promise<LocalView> {
    const options = await chooseOn(url, flags, context);
    const directory = mkdtempSync(path.join(flags.workDir ?? tmpdir(), 'km-backup-'));
    const view = new LocalView(directory, path.join(directory, options.archive));
    try {
      await fetchArchive(options, view.archive);
      return view;
    } catch (error) {
      view[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

async function chooseOn(url: string, flags: CopyFlags, context: CliContext): Promise<FetchOptions> {
  const opener = await openerFor(flags);
  const location = await openAt(url, flags, context);
  await openLocation(location);
  const { archive, series } = await chooseCopy(location, flags);
  return { location, archive, series, opener, signal: context.signal };
}

/** The copies in a location, newest first, each with what reads it. */
export async function copiesIn(
  url: string,
  flags: LocationFlags & IdentityFlags & { readonly series?: string },
  context: CliContext,
): Promise<FetchOptions[]> {
  const opener = await openerFor(flags);
  const location = await openAt(url, flags, context);
  await openLocation(location);
  const copies = await listedArchives(location, flags.series);
  return copies.map(({ archive, series }) => ({ location, archive, series, opener, signal: context.signal }));
}

/** The copy that name and series mean. @throws {ArchiveError} CopyMissing, Usage when several fit. */
export async function chooseCopy(
  location: Location,
  { archive: name, series }: { readonly archive?: string | undefined; readonly series?: string | undefined },
): Promise<ListedArchive> {
  const copies = (await listedArchives(location, series)).filter(
    ({ archive }) => name === undefined || archive === name,
  );
  const [first] = copies;
  if (!first) throw noCopy(location, { archive: name, series });
  const others = new Set(copies.map((copy) => copy.series));
  if (others.size > 1) {
    const names = [...others].sort().map((one) => one || '(none)');
    throw new ArchiveError(
      'Usage',
      `${location.url} has several series that fit: name one (--series): ${names.join(', ')}.`,
    );
  }
  return first;
}

function noCopy(
  { url }: Location,
  { archive, series }: { readonly archive?: string | undefined; readonly series?: string | undefined },
): ArchiveError {
  const of = archive === undefined ? '' : ` of ${archive}`;
  const where = series === undefined ? '' : ` in series ${series || '(none)'}`;
  return new ArchiveError(
    'CopyMissing',
    `${url} has no copy${of}${where}. km-backup list ${url} shows what it has.`,
  );
}
