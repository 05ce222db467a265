/** What list, verify and prune do when they are given a location instead of a path. */
import path from 'node:path';
import { ArchiveError, ExitCode, isUnapproved } from '../../archive/index.ts';
import { formatBytes } from '../../log/units.ts';
import {
  destinationError,
  existingWriterOf,
  listedArchives,
  lockCopies,
  openKnownLocation,
  openLocation,
  pruneCopies,
  putSuspicion,
  RECIPE,
  readList,
  readSuspicion,
  verifyCopies,
} from '../../offsite/index.ts';
import type { RetentionPolicy } from '../../retention/index.ts';
import { chooseCopy, noCopy } from './choose-copy.ts';
import type { CliContext } from './context.ts';
import { type CopyFlags, type LocationFlags, openAt, openerFor } from './location-flags.ts';
import { print, printJson, printJsonText, warn } from './output.ts';
import { table } from './table.ts';

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
    { PACKS: { weight: 1 }, ENCRYPTED: { weight: 2 }, SERIES: { weight: 3, least: 12 }, TIME: { weight: 4 } },
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
  if (copies.length === 0) throw await noCopy(location, flags);
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
  readonly lockWait: number;
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
  using _lock =
    destination !== undefined && !flags.dryRun
      ? await lockOf(destination, flags.lockWait * 1000, context.signal)
      : undefined;
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
      localOf: destination === undefined ? undefined : (archive) => path.join(destination, archive),
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
      if (rows.length > 0)
        process.stdout.write(
          table(['ARCHIVE', 'SERIES', 'DECISION', 'WHY'], rows, {
            SERIES: { weight: 1, least: 12 },
            WHY: { least: 18 },
          }),
        );
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

/** `km-backup approve LOCATION ARCHIVE` */
export async function approveCopy(
  url: string,
  name: string,
  flags: LocationFlags & { readonly series?: string },
  context: CliContext,
): Promise<void> {
  const location = await openAt(url, flags, context);
  await openLocation(location);
  const { archive, series } = await chooseCopy(location, { ...flags, archive: name });
  const found = await readSuspicion(location, series, archive);
  if (isUnapproved(found)) {
    await putSuspicion(location, series, archive, { ...found!, approvedAt: new Date().toISOString() });
    print(`Approved ${archive} in ${location.url}.`);
  } else print(found ? `${archive} was approved at ${found.approvedAt}.` : `${archive} is not suspicious.`);
}

async function lockOf(destination: string, waitMs: number, signal: AbortSignal) {
  try {
    return await lockCopies(destination, waitMs, signal);
  } catch (error) {
    throw destinationError(error, destination);
  }
}
