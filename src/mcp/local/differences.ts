/** Tools that compare archives by their manifests alone: diff and history. */
import { z } from 'zod';
import {
  ArchiveError,
  type ArchiveInfo,
  type Difference,
  type DiffTotals,
  diffArchives,
  display,
  historyOf,
  listArchives,
  toText,
} from '../../archive/index.ts';
import {
  DiffChoice,
  Differences,
  type Differing,
  differencesOf,
  HistoryChoice,
  type Versioned,
  Versions,
  versionsOf,
} from '../archive-answers.ts';
import { defineTool, type Tool } from '../tool.ts';
import { archiveOf, type LocalSettings } from './settings.ts';

export function diffTool(settings: LocalSettings): Tool {
  return defineTool({
    name: 'diff',
    title: 'Compare two archives',
    description:
      'What was added, removed and changed (content or type) between two archives, and where only metadata changed. Default: the newest archive and the one before it. Reads manifests only.',
    effect: 'reads',
    input: z.strictObject({
      before: z.string().optional().describe('Name of the earlier archive'),
      after: z.string().optional().describe('Name of the later archive'),
      ...DiffChoice,
    }),
    output: Differences,
    run: async ({ before: earlier, after: later, include, exclude, limit }, { signal }) => {
      const [before, after] = pairOf(settings, earlier, later);
      const options = { before: before.path, after: after.path, include, exclude, signal };
      const { found, totals } = await collect(diffArchives(options), limit);
      return differencesOf({ before: before.name, after: after.name }, found.map(differing), totals);
    },
  });
}

/** Archives that can be compared, newest first. */
function pairOf(
  settings: LocalSettings,
  earlier: string | undefined,
  later: string | undefined,
): [ArchiveInfo, ArchiveInfo] {
  const sound = listArchives(settings.destination).filter(({ problem }) => problem === undefined);
  const after = later === undefined ? sound[0] : archiveOf(settings, later);
  const before =
    earlier === undefined
      ? sound.find(
          ({ timestamp, summary }) =>
            after && timestamp < after.timestamp && summary?.series === after.summary?.series,
        )
      : archiveOf(settings, earlier);
  if (before && after) return [before, after];
  throw new ArchiveError('ArchiveMissing', `${settings.destination} has no two archives to compare.`);
}

async function collect(
  differences: AsyncGenerator<readonly Difference[], DiffTotals>,
  limit: number,
): Promise<{ found: Difference[]; totals: DiffTotals }> {
  const found: Difference[] = [];
  for (;;) {
    const next = await differences.next();
    if (next.done) return { found, totals: next.value };
    found.push(...next.value.slice(0, limit - found.length));
  }
}

function differing({ path, ...difference }: Difference): Differing {
  return { ...difference, path: toText(path) ?? display(path, Number.POSITIVE_INFINITY) };
}

export function historyTool(settings: LocalSettings): Tool {
  return defineTool({
    name: 'history',
    title: 'History of one file',
    description:
      'One file or folder through all archives, newest first: in which it is, its size and digest, and where it changed. Reads manifests only.',
    effect: 'reads',
    input: z.strictObject(HistoryChoice),
    output: Versions,
    run: async ({ path, changesOnly }, { signal, progress }) => {
      const listed = listArchives(settings.destination).reverse();
      const archives = listed.map(({ name, path: file }) => ({
        name,
        open: async () => ({ path: file, [Symbol.dispose]: () => {} }),
      }));
      const versions: Versioned[] = [];
      for await (const version of historyOf({ archives, path, signal })) {
        versions.push(version);
        progress({ done: versions.length, total: archives.length, message: 'reading manifests' });
      }
      return versionsOf({ path, changesOnly }, versions);
    },
  });
}
