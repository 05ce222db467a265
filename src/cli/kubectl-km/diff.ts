import { Command } from 'commander';
import type { KmBackup } from '../../api/backup.ts';
import type { KmBackupSchedule } from '../../api/backup-schedule.ts';
import { backupBefore, chosenBackup } from '../../fleet/archives.ts';
import type { Cluster } from '../../fleet/cluster.ts';
import { FleetError, unlessMissing } from '../../fleet/errors.ts';
import { backupOf, scheduleOf } from '../../fleet/find.ts';
import { collect } from '../km-backup/option-values.ts';
import { connect, type PluginContext } from './context.ts';
import { addCopyFlags, type CopyFlags, passOn, reading, readingCopies } from './reading.ts';

interface Flags extends CopyFlags {
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  readonly summary: boolean;
  readonly exitCode: boolean;
  readonly json: boolean;
}

export function command(context: PluginContext): Command {
  const diff = new Command('diff')
    .description(
      'say what differs between two archives: + added, - removed, M content or type changed, U only metadata changed',
    )
    .argument('<backup>', 'the earlier one; alone: the later one, compared with the archive before it')
    .argument('[later]', 'a backup, or a schedule for its newest archive')
    .option('--include <pattern>', 'only names that match, as in .gitignore (repeatable)', collect, [])
    .option('--exclude <pattern>', 'no names that match, as in .gitignore (repeatable)', collect, [])
    .option('--summary', 'only the totals', false)
    .option('--exit-code', 'an exit status of its own if anything differs', false)
    .option('--json', 'one JSON object for each difference, and one for the totals', false);
  return addCopyFlags(diff).action(async (first: string, second: string | undefined, flags: Flags) => {
    const { cluster, namespace } = await connect(flags, context);
    if (flags.location !== undefined) {
      const { schedule, names } = await copiesOf(cluster, namespace, first, second);
      return readingCopies(cluster, schedule, flags.location, flags, context, (reader) =>
        passOn(reader, [...commandOf(flags), ...reader.flags, '--', reader.url, ...names], context),
      );
    }
    const one = await chosenBackup(cluster, { namespace, name: first });
    const pair =
      second === undefined
        ? [await backupBefore(cluster, one), one]
        : [one, await chosenBackup(cluster, { namespace, name: second })];
    await reading(cluster, pair, flags, context, (reader) =>
      passOn(reader, [...commandOf(flags), '--', ...reader.archives], context),
    );
  });
}

const commandOf = ({ include, exclude, summary, exitCode, json }: Flags): string[] => [
  'diff',
  ...include.map((pattern) => `--include=${pattern}`),
  ...exclude.map((pattern) => `--exclude=${pattern}`),
  ...(summary ? ['--summary'] : []),
  ...(exitCode ? ['--exit-code'] : []),
  ...(json ? ['--json'] : []),
];

/**
 * Which copies are meant, in the words of km-backup: of a schedule its newest, of a backup that of its archive.
 * @throws {FleetError} when neither a schedule nor a backup has this name, the backup has no archive, or the names belong
 *   to different schedules.
 */
async function copiesOf(cluster: Cluster, namespace: string, first: string, second: string | undefined) {
  const wanted = second === undefined ? [first] : [first, second];
  const chosen = await Promise.all(wanted.map((name) => copyOf(cluster, namespace, name)));
  const [{ schedule }] = chosen as [Chosen];
  if (chosen.some((other) => other.schedule.metadata.name !== schedule.metadata.name))
    throw new FleetError('Usage', 'In a location, two copies of one schedule are compared.');
  const [one, other] = chosen.map(({ archive }) => archive);
  if (second !== undefined) return { schedule, names: [one!, other!] };
  if (one === 'newest') return { schedule, names: ['previous', 'newest'] };
  const before = await backupBefore(cluster, chosen[0]!.backup!);
  return { schedule, names: [before.status!.archive!.name, one!] };
}

interface Chosen {
  readonly schedule: KmBackupSchedule;
  readonly backup?: KmBackup;
  /** Name, or `newest`. */
  readonly archive: string;
}

async function copyOf(cluster: Cluster, namespace: string, name: string): Promise<Chosen> {
  const schedule = await unlessMissing(cluster.resources.schedules.get(namespace, name));
  if (schedule) return { schedule, archive: 'newest' };
  const backup = await backupOf(cluster, { namespace, name });
  const { archive } = backup.status ?? {};
  if (!archive) throw new FleetError('NotFound', `Backup ${name} has no archive. Choose another one.`);
  const owner = await scheduleOf(cluster, { namespace, name: backup.spec.scheduleName });
  return { schedule: owner, backup, archive: archive.name };
}
