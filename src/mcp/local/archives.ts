/** Tools that look at archives: list and verify. */
import { z } from 'zod';
import { type ArchiveInfo, isUnapproved, listArchives, verifyArchive } from '../../archive/index.ts';
import { formatBytes } from '../../log/units.ts';
import { Verified, verdict } from '../archive-answers.ts';
import { counted, lines } from '../text.ts';
import { defineTool, type Tool } from '../tool.ts';
import { archiveOf, type LocalSettings, newestOf } from './settings.ts';

const MOST_LISTED = 100;

export const ArchiveState = z.enum(['complete', 'incomplete', 'unverified', 'corrupt', 'unreadable']);

const Listed = z.object({
  name: z.string(),
  path: z.string(),
  time: z.string(),
  state: ArchiveState,
  problem: z.string().optional(),
  suspicious: z.string().optional().describe('Why the guard found it suspicious; nobody approved it yet'),
  sizeBytes: z.int(),
  files: z.int().optional(),
  sourceBytes: z.int().optional(),
  warnings: z.int().optional(),
  series: z.string().optional(),
  sha256: z.string().optional(),
});

export function listTool(settings: LocalSettings): Tool {
  return defineTool({
    name: 'list',
    title: 'List the archives',
    description:
      'The archives of the destination, newest first, with state, size and time. Reads no archive whole.',
    effect: 'reads',
    input: z.strictObject({
      limit: z.int().min(1).max(1000).default(MOST_LISTED).describe('Most archives to list'),
    }),
    output: z.object({ destination: z.string(), total: z.int(), archives: z.array(Listed) }),
    run: async ({ limit }) => {
      const { destination } = settings;
      const archives = listArchives(destination);
      const shown = archives.slice(0, limit);
      return {
        data: { destination, total: archives.length, archives: shown.map(toData) },
        text: lines(
          `${destination}: ${counted(archives.length, 'archive')}${shown.length < archives.length ? `, the newest ${shown.length} of them` : ''}.`,
          shown.map(toLine),
        ),
      };
    },
  });
}

/** Why nothing is removed until a person approves the archive. */
export function suspicionIn({ suspicion }: ArchiveInfo): string | undefined {
  return isUnapproved(suspicion) ? suspicion?.reasons.map(({ message }) => message).join(' ') : undefined;
}

function toData(archive: ArchiveInfo) {
  const { name, path, timestamp, class: state, problem, sizeBytes, summary } = archive;
  return {
    name,
    path,
    time: timestamp.toISOString(),
    state,
    problem,
    suspicious: suspicionIn(archive),
    sizeBytes,
    files: summary?.files,
    sourceBytes: summary?.sourceBytes,
    warnings: summary?.warnings.count,
    series: summary?.series ?? undefined,
    sha256: summary?.sha256,
  };
}

function toLine(archive: ArchiveInfo): string {
  const { name, timestamp, class: state, problem, sizeBytes, summary } = archive;
  const suspicious = suspicionIn(archive) === undefined ? '' : ', suspicious';
  const files = summary ? `, ${counted(summary.files, 'file')}` : '';
  const why = problem === undefined ? '' : ` (${problem})`;
  return `${name}: ${state}${suspicious}${why}, ${timestamp.toISOString()}, ${formatBytes(sizeBytes)}${files}`;
}

export function verifyTool(settings: LocalSettings): Tool {
  return defineTool({
    name: 'verify',
    title: 'Verify archives',
    description:
      'Reads archives whole and says whether each is sound. Default: the newest. Takes as long as reading them.',
    effect: 'reads',
    input: z.strictObject({
      archives: z.array(z.string()).min(1).optional().describe('Names of archives, as in list'),
      all: z.boolean().default(false).describe('Every archive of the destination'),
      deep: z.boolean().default(false).describe('Also decompress, and compare every header and content'),
    }),
    output: z.object({ sound: z.boolean(), archives: z.array(Verified) }),
    run: async ({ archives: names, all, deep }, { signal, progress }) => {
      const chosen = all
        ? listArchives(settings.destination)
        : (names?.map((name) => archiveOf(settings, name)) ?? [newestOf(settings)]);
      const total = chosen.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
      const results: Verified[] = [];
      let before = 0;
      for (const { name, path, sizeBytes } of chosen) {
        const message = `verifying ${counted(chosen.length, 'archive')}`;
        const { state, against, entries, bytes, problem } = await verifyArchive(path, {
          deep,
          signal,
          progress: (read) => progress({ done: before + read, total, message }),
        });
        before += sizeBytes;
        results.push({ name, state, against, entries, bytes, problem });
      }
      const sound = results.every(({ state }) => state === 'sound');
      return {
        data: { sound, archives: results },
        text: lines(
          results.length === 0 ? `${settings.destination} has no archives.` : undefined,
          results.map((result) => verdict(result.name, result)),
        ),
        failed: !sound,
      };
    },
  });
}
