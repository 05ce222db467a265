import { createInterface } from 'node:readline';
import { Command, InvalidArgumentError } from 'commander';
import { ExitCode } from '../../api/exit-codes.ts';
import type { KmRestore } from '../../api/restore.ts';
import type { RestorePlan } from '../../api/restore-result.ts';
import type { Cluster } from '../../fleet/cluster.ts';
import { FleetError, unlessMissing } from '../../fleet/errors.ts';
import { backupOf, scheduleOf } from '../../fleet/find.ts';
import { observe } from '../../fleet/observe.ts';
import {
  applyRestore,
  awaitRestore,
  discardPlan,
  exitCodeOfRestore,
  hasPlan,
  planRestore,
  type RestoreRequest,
  restoreElsewhere,
} from '../../fleet/restore.ts';
import { why } from '../../fleet/why.ts';
import { printable } from '../../log/printable.ts';
import { formatBytes, formatSeconds } from '../../log/units.ts';
import { cutMiddle } from '../../log/width.ts';
import { wrapped } from '../km-backup/fitted-table.ts';
import { collect } from '../km-backup/option-values.ts';
import { say } from '../km-backup/output.ts';
import { addClusterFlags, type ClusterFlags, connect, type PluginContext } from './context.ts';
import { addOutputFlags, type OutputFlags, paint, roomOf, write, writeData, writeNames } from './output.ts';
import { startTicker } from './progress.ts';

export interface FollowFlags extends ClusterFlags, OutputFlags {
  readonly wait: boolean;
}

interface Flags extends FollowFlags {
  readonly asOf?: string;
  readonly to?: string;
  readonly subPath?: string;
  readonly newClaim?: string;
  readonly size?: string;
  readonly path: string[];
  readonly quiesce: boolean;
  readonly keepOldState?: string;
  readonly plan: boolean;
  readonly yes: boolean;
}

export function command(context: PluginContext): Command {
  const restore = new Command('restore')
    .description('bring a backup back: shows what would change, asks, and then does exactly that')
    .argument('<source>', 'a schedule, for its newest complete archive, or a backup')
    .option('--as-of <time>', 'of a schedule: the newest archive at or before this time', time)
    .option('--to <claim>', 'claim to restore (default: the one that was backed up)')
    .option('--sub-path <folder>', 'folder of that claim (default: the one that was backed up)')
    .option('--new-claim <name>', 'restore into a new claim instead; needs --size')
    .option('--size <quantity>', 'size of the new claim, such as 10Gi')
    .option('--path <path>', 'only this file or folder; may be repeated', collect, [])
    .option(
      '--no-quiesce',
      'do not stop the workloads that use the claim; the restore is refused while any do',
    )
    .option('--keep-old-state <duration>', 'how long the old state is kept, such as 7d; 0 deletes it at once')
    .option('--plan', 'only show what would change', false)
    .option('-y, --yes', 'do not ask', false)
    .option('--wait', 'wait for its end; the exit status then says how it ended', false);
  return addOutputFlags(addClusterFlags(restore), ['json', 'yaml', 'name']).action(
    async (name: string, flags: Flags) => {
      const { cluster, namespace } = await connect(flags, context);
      const request = await requestOf(cluster, { namespace, name }, flags);
      if (!hasPlan(request)) {
        if (flags.plan)
          throw new FleetError(
            'Usage',
            'A restore into a new claim changes nothing that exists: there is no plan to show.',
          );
        return await follow(cluster, await restoreElsewhere(cluster, namespace, request), flags, context);
      }
      await inPlace(cluster, namespace, request, flags, context);
    },
  );
}

function time(value: string): string {
  const date = new Date(value);
  if (Number.isNaN(date.getTime()))
    throw new InvalidArgumentError('a time is needed, such as 2026-11-20 or 2026-11-20T08:00:00Z.');
  return `${date.toISOString().slice(0, 19)}Z`;
}

/** @throws {FleetError} when the source does not exist, or the flags contradict one another. */
async function requestOf(
  cluster: Cluster,
  place: { namespace: string; name: string },
  flags: Flags,
): Promise<RestoreRequest> {
  const { resources } = cluster;
  const schedule = await unlessMissing(resources.schedules.get(place.namespace, place.name));
  const backup = schedule ? undefined : await backupOf(cluster, place);
  if (backup && flags.asOf !== undefined)
    throw new FleetError('Usage', '--as-of needs a schedule; a backup has one archive only.');
  if ((flags.newClaim === undefined) !== (flags.size === undefined))
    throw new FleetError('Usage', '--new-claim and --size go together.');
  if (flags.newClaim !== undefined && (flags.to !== undefined || flags.subPath !== undefined))
    throw new FleetError('Usage', 'A restore goes to --to or to --new-claim, not to both.');
  const of = schedule ?? (await targetSchedule(cluster, place.namespace, backup!.spec.scheduleName, flags));
  const claim = of?.spec.source.persistentVolumeClaim;
  const subPath = flags.subPath ?? (flags.to === undefined ? claim?.subPath : undefined);
  const { asOf, newClaim, size } = flags;
  return {
    source: schedule
      ? { scheduleName: place.name, ...(asOf !== undefined && { asOf }) }
      : { backupName: place.name },
    target:
      newClaim === undefined
        ? {
            persistentVolumeClaim: {
              claimName: flags.to ?? claim!.claimName,
              ...(subPath !== undefined && { subPath }),
            },
          }
        : { newClaim: { name: newClaim, size: size!, accessModes: ['ReadWriteOnce'] } },
    ...(flags.path.length > 0 && { paths: flags.path }),
    ...(newClaim === undefined && flags.quiesce && { quiesce: { auto: true } }),
    ...(flags.keepOldState !== undefined && { keepOldStateFor: flags.keepOldState }),
  };
}

/** The schedule of a backup says which claim it was made of. It is not needed where the flags say where to. */
async function targetSchedule(cluster: Cluster, namespace: string, name: string, flags: Flags) {
  if (flags.to === undefined && flags.newClaim === undefined) return scheduleOf(cluster, { namespace, name });
  return undefined;
}

async function inPlace(
  cluster: Cluster,
  namespace: string,
  request: RestoreRequest,
  flags: Flags,
  context: PluginContext,
): Promise<void> {
  if (flags.plan && flags.output === 'name')
    throw new FleetError(
      'Usage',
      'A plan has no name, because it is deleted once it was shown: pass -o json or yaml.',
    );
  const { restore, plan } = await planned(cluster, namespace, request, context);
  let applied = false;
  try {
    if (flags.plan && flags.output !== undefined) {
      if (flags.output === 'name')
        throw new FleetError(
          'Usage',
          'A plan has no name: it is gone once it was shown. Pass -o json or yaml.',
        );
      return await writeData(flags.output as 'json' | 'yaml', restore.status);
    }
    // The plan is for the person who decides; standard output is for what was done.
    const text = planText(restore, plan, roomOf(context));
    if (flags.plan) return write(text);
    if (flags.output === undefined) write(text);
    if (!flags.yes && !(await agrees(restore, context))) {
      say('Nothing was changed.');
      context.exitCode = ExitCode.failure;
      return;
    }
    const started = await applyRestore(cluster, restore.metadata, plan.digest);
    applied = true;
    await follow(cluster, started, flags, context);
  } finally {
    if (!applied) await discardPlan(cluster, restore.metadata);
  }
}

async function planned(
  cluster: Cluster,
  namespace: string,
  request: RestoreRequest,
  { signal }: PluginContext,
) {
  using ticker = startTicker();
  return await planRestore(cluster, namespace, request, {
    signal,
    onChange: ({ status }) => ticker.show(`Plan: ${status?.message ?? 'waits for the operator to see it'}`),
  });
}

const COLOUR = { '+': 'green', '~': 'yellow', '-': 'red' } as const;

export function planText({ spec, status }: KmRestore, plan: RestorePlan, room: number | undefined): string {
  const { archive, archiveTime } = status?.resolved ?? {};
  const target = spec.target.persistentVolumeClaim!;
  const folder = target.subPath === undefined ? '' : `, folder ${target.subPath}`;
  const free = plan.spaceFreeBytes === undefined ? '' : `, ${formatBytes(plan.spaceFreeBytes)} free`;
  const lines = [
    `Archive   ${archive?.name ?? '?'} on claim ${archive?.claimName ?? '?'}${archiveTime ? `, of ${archiveTime}` : ''}`,
    `Target    claim ${target.claimName}${folder}`,
    ...(spec.paths ? [`Only      ${spec.paths.join(', ')}`] : []),
    `Entries   ${plan.added} added, ${plan.changed} changed, ${plan.removed} removed, ${plan.kept} kept`,
    `Space     ${formatBytes(plan.bytesToWrite)} to write, ${formatBytes(plan.spaceNeededBytes)} needed${free}`,
    // All of it is in `-o json`.
    `Digest    ${room === undefined ? plan.digest : cutMiddle(plan.digest, room - 10)}`,
  ];
  const facts = lines
    .map((line) => wrapped(line.slice(10), room, ' '.repeat(10), line.slice(0, 10)))
    .join('');
  const samples = plan.samples.map((sample) => {
    const colour = COLOUR[sample[0] as keyof typeof COLOUR];
    const shown = printable(sample, Number.POSITIVE_INFINITY);
    const text = `  ${room === undefined ? shown : cutMiddle(shown, room - 2)}`;
    return `${colour ? paint(colour, text) : text}\n`;
  });
  const more = plan.added + plan.changed + plan.removed - samples.length;
  return `${facts}\n${samples.join('')}${samples.length > 0 && more > 0 ? `  … and ${more} more\n` : ''}\n`;
}

/**
 * Whether the person says yes. The end of input is a no.
 * @throws {FleetError} when nobody can be asked, or the person interrupts.
 */
async function agrees({ spec }: KmRestore, context: PluginContext): Promise<boolean> {
  const { signal } = context;
  if (!process.stdin.isTTY) {
    throw new FleetError(
      'Usage',
      'Nobody can be asked here: look at the plan (--plan), then pass --yes. Nothing was changed.',
    );
  }
  const stops = 'The workloads that use the claim are stopped meanwhile.';
  if (spec.quiesce) process.stderr.write(wrapped(stops, roomOf(context), ''));
  const line = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await new Promise<boolean>((answer, fail) => {
      const unanswered = (end: () => void) => {
        process.stderr.write('\n');
        end();
      };
      signal.addEventListener('abort', () => unanswered(() => fail(signal.reason)), { once: true });
      // The terminal is in raw mode, so Ctrl-C is a key.
      line.on('SIGINT', () => process.kill(process.pid, 'SIGINT'));
      const closed = () => unanswered(() => answer(false));
      line.once('close', closed);
      line.question('Restore? [y/N] ', (text) => {
        line.removeListener('close', closed);
        answer(/^y(es)?$/i.test(text.trim()));
      });
    });
  } finally {
    line.removeAllListeners('close').close();
  }
}

/** Says that a restore was started, or waits for its end and says how it ended. */
export async function follow(
  cluster: Cluster,
  started: KmRestore,
  flags: FollowFlags,
  context: PluginContext,
): Promise<void> {
  const { name, namespace } = started.metadata;
  const { signal } = context;
  if (!flags.wait) {
    if (flags.output !== undefined) return await writeRestore(started, flags);
    return write(`Restore ${name} started. To follow it: kubectl km why ${name} -n ${namespace}\n`);
  }
  using ticker = startTicker();
  try {
    const done = await awaitRestore(cluster, started.metadata, {
      signal,
      onChange: ({ status }) =>
        ticker.show(`${status?.phase ?? 'Pending'}: ${status?.message ?? 'waits for the operator'}`),
    });
    ticker.clear();
    context.exitCode = exitCodeOfRestore(done);
    if (flags.output !== undefined) return await writeRestore(done, flags);
    await printEnd(cluster, done, context);
  } finally {
    ticker.clear();
    if (signal.aborted)
      say(`Restore ${name} goes on. To give it up: kubectl delete kmr ${name} -n ${namespace}`);
  }
}

async function writeRestore(restore: KmRestore, { output }: FollowFlags): Promise<void> {
  if (output === 'name') writeNames('kmrestore.km.duskmantle.io', [restore.metadata.name]);
  else await writeData(output as 'json' | 'yaml', restore);
}

async function printEnd(cluster: Cluster, done: KmRestore, context: PluginContext): Promise<void> {
  const { metadata, status } = done;
  const { namespace, name } = metadata;
  const room = roomOf(context);
  if (status?.phase !== 'Succeeded') {
    const { cause, todo } = why(await observe(cluster, metadata));
    write(paint('red', wrapped(cause, room, '  ', '')));
    for (const text of todo) write(wrapped(`→ ${text.replaceAll('`', '')}`, room, '    ', '  '));
    return;
  }
  const took = status.recoverySeconds === undefined ? '' : ` in ${formatSeconds(status.recoverySeconds)}`;
  write(paint('green', wrapped(`Restore ${name} succeeded${took}: ${status.message ?? ''}`, room, '  ', '')));
  if (status.oldState) {
    const until = status.oldState.keptUntil ? ` until ${status.oldState.keptUntil}` : '';
    write(
      wrapped(
        `The state before it is kept${until}. To go back: kubectl annotate kmr ${name} -n ${namespace} km.duskmantle.io/old-state=rollback. To free its space now: km.duskmantle.io/old-state=commit.`,
        room,
        '  ',
        '',
      ),
    );
  }
}
