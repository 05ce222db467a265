/** A restore in two steps: its plan, and the restore by the digest of that plan. */
import { z } from 'zod';
import { RestorePlan } from '../../api/restore-result.ts';
import {
  type PlanReport,
  planRestore,
  type RestoreProgress,
  type RestoreReport,
  restore,
} from '../../archive/index.ts';
import { formatBytes } from '../../log/units.ts';
import { lines } from '../text.ts';
import { type Call, defineDestructiveTool, defineTool, type Tool } from '../tool.ts';
import { archiveOf, type LocalSettings, newestOf, targetOf } from './settings.ts';

const target = z
  .string()
  .optional()
  .describe('Directory to restore. Default: the source. Others only if the server was started with --target');
const paths = z
  .array(z.string())
  .min(1)
  .optional()
  .describe('Only these files and folders, relative to the target. Default: the whole tree');

const Wish = z.strictObject({
  archive: z.string().optional().describe('Name of an archive, as in list. Default: the newest complete one'),
  target,
  paths,
  keepOldState: z.boolean().default(true).describe('Keep the old state, to be able to go back'),
});
type Wish = z.infer<typeof Wish>;

const Warnings = z.object({ count: z.int(), samples: z.array(z.string()) });

export function restoreTools(settings: LocalSettings): Tool[] {
  const plan = async (wish: Wish, { signal, progress }: Call) => {
    const archive = wish.archive === undefined ? newestOf(settings) : archiveOf(settings, wish.archive);
    const report = await planRestore({
      ...choice(settings, wish, archive.path),
      signal,
      progress: passOn(progress),
    });
    return { archive, report };
  };
  return [
    defineTool({
      name: 'restore_plan',
      title: 'Plan a restore',
      description:
        'What a restore would add, change and remove in the target, checked against the archive. Changes nothing. Its planDigest is what the tool restore needs.',
      effect: 'reads',
      input: Wish,
      output: z.object({
        archive: z.string(),
        target: z.string(),
        planDigest: z.string(),
        plan: RestorePlan,
        warnings: Warnings,
      }),
      run: async (wish, call) => {
        const { archive, report } = await plan(wish, call);
        const { digest } = report.plan;
        return {
          data: {
            archive: archive.name,
            target: report.target,
            planDigest: digest,
            plan: { ...report.plan, samples: [...report.plan.samples] },
            warnings: copyOf(report.warnings),
          },
          text: lines(planLines(archive.name, report), `planDigest: ${digest}`),
        };
      },
    }),
    defineDestructiveTool({
      name: 'restore',
      title: 'Restore an archive',
      description:
        'Replaces the target (or only the given paths) with the contents of an archive: verified and staged first, then swapped in. Takes the planDigest of restore_plan, asks a person, and changes nothing if the archive is another one or the plan no longer holds. Refused while processes use the target. The old state is kept unless keepOldState is false.',
      effect: 'destroys',
      input: Wish.extend({
        archive: z.string().describe('Name of an archive, as restore_plan answered it'),
        planDigest: z.string().describe('From restore_plan with the same input'),
      }),
      output: z.object({
        archive: z.string(),
        target: z.string(),
        outcome: z.enum(['restored', 'staged', 'would-restore', 'completed', 'already-restored']),
        entries: z.int().optional(),
        files: z.int().optional(),
        bytes: z.int().optional(),
        oldState: z.string().optional(),
        warnings: Warnings,
      }),
      plan: async (wish, call) => {
        const { archive, report } = await plan(wish, call);
        const old = wish.keepOldState
          ? 'The old state is kept, so this can be undone.'
          : 'The old state is removed: this cannot be undone.';
        return { digest: report.plan.digest, text: lines(planLines(archive.name, report), old) };
      },
      run: async (wish, { signal, progress }) => {
        const archive = archiveOf(settings, wish.archive);
        const report = await restore({
          ...choice(settings, wish, archive.path),
          expectPlan: wish.planDigest,
          signal,
          now: settings.now,
          progress: passOn(progress),
        });
        return { data: resultOf(archive.name, report), text: lines(restored(archive.name, report)) };
      },
    }),
  ];
}

/** What plan and restore must have in common, so that their digests are comparable. */
function choice(settings: LocalSettings, wish: Omit<Wish, 'archive'>, archive: string) {
  return {
    archive,
    target: targetOf(settings, wish.target),
    ...(wish.paths && { paths: wish.paths }),
    policy: { preserveSetid: false, skipDevices: false },
    oldState: wish.keepOldState ? ('keep' as const) : ('remove' as const),
  };
}

function passOn(progress: Call['progress']): (state: RestoreProgress) => void {
  return ({ phase, files, ofFiles, bytes, ofBytes }) =>
    progress({ done: bytes ?? files, total: ofBytes ?? ofFiles, message: phase });
}

function planLines(archive: string, { target: directory, plan, warnings, note }: PlanReport): string[] {
  const { added, changed, removed, kept, samples, bytesToWrite, spaceNeededBytes, spaceFreeBytes } = plan;
  const free = spaceFreeBytes === undefined ? '' : `, ${formatBytes(spaceFreeBytes)} free`;
  return [
    `Restore ${directory} from ${archive}: ${added} added, ${changed} changed, ${removed} removed, ${kept} kept.`,
    ...samples,
    `To write: ${formatBytes(bytesToWrite)}. Space needed: ${formatBytes(spaceNeededBytes)}${free}.`,
    ...warnings.samples.map((sample) => `warning: ${sample}`),
    ...(note === undefined ? [] : [`warning: checked by structure and checksums only, because ${note}`]),
  ];
}

const noWarnings = { count: 0, samples: [] };

function resultOf(archive: string, report: RestoreReport) {
  const done = 'entries' in report ? report : report.staged;
  return {
    archive,
    target: report.target,
    outcome: report.outcome,
    entries: done?.entries,
    files: done?.files,
    bytes: done?.bytes,
    oldState: report.oldState,
    warnings: copyOf(done?.warnings ?? noWarnings),
  };
}

function copyOf({ count, samples }: { readonly count: number; readonly samples: readonly string[] }) {
  return { count, samples: [...samples] };
}

function restored(archive: string, report: RestoreReport): string[] {
  const { target: directory, oldState, outcome } = report;
  const { entries, bytes, warnings } = resultOf(archive, report);
  const what =
    outcome === 'already-restored'
      ? `${directory}: this restore was already done.`
      : `Restored ${directory} from ${archive}${entries === undefined ? '' : `: ${entries} entries, ${formatBytes(bytes ?? 0)}`}.`;
  return [
    what,
    ...warnings.samples.map((sample) => `warning: ${sample}`),
    ...(oldState === undefined
      ? []
      : [
          `The old state is kept in ${oldState}. Once all is well: km-backup restore --commit ${directory} (or --rollback, to go back).`,
        ]),
  ];
}
