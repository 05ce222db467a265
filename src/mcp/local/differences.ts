/** Tools that compare archives by their manifests alone: diff and history. */
import { z } from 'zod';
import {
  ArchiveError,
  type ArchiveInfo,
  type Change,
  type Difference,
  type DiffTotals,
  diffArchives,
  display,
  historyOf,
  listArchives,
  toText,
  type Version,
} from '../../archive/index.ts';
import { counted, lines, size } from '../text.ts';
import { defineTool, type Tool } from '../tool.ts';
import { archiveOf, type LocalSettings } from './settings.ts';

const patterns = (what: string) => z.array(z.string()).optional().describe(`${what}, as in .gitignore`);

const Totals = z.object({
  entries: z.int(),
  files: z.int(),
  bytesBefore: z.int(),
  bytesAfter: z.int(),
});

const CHANGES = ['added', 'removed', 'changed', 'metadata'] as const satisfies readonly Change[];

const Found = z.object({
  change: z.enum(CHANGES),
  path: z.string(),
  sizeBefore: z.int().optional(),
  sizeAfter: z.int().optional(),
  aspects: z.array(z.string()).optional(),
});

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
      include: patterns('Only names that match'),
      exclude: patterns('No names that match'),
      limit: z.int().min(0).max(10_000).default(200).describe('Most differences to list; totals count all'),
    }),
    output: z.object({
      before: z.string(),
      after: z.string(),
      totals: z.record(z.enum(CHANGES), Totals),
      unchanged: z.int().optional(),
      byTime: z.boolean().describe('An archive has no manifest, so contents were not compared'),
      differences: z.array(Found),
    }),
    run: async ({ before: earlier, after: later, include, exclude, limit }, { signal }) => {
      const [before, after] = pairOf(settings, earlier, later);
      const options = { before: before.path, after: after.path, include, exclude, signal };
      const { found, totals } = await collect(diffArchives(options), limit);
      const { unchanged, byTime } = totals;
      const names = { before: before.name, after: after.name };
      return {
        data: {
          ...names,
          totals: Object.fromEntries(CHANGES.map((change) => [change, { ...totals[change] }])) as Record<
            Change,
            z.infer<typeof Totals>
          >,
          unchanged,
          byTime,
          differences: found.map(toData),
        },
        text: lines(
          `${names.before} -> ${names.after}: ${CHANGES.map((change) => `${totals[change].entries} ${change}`).join(', ')}${unchanged === undefined ? '' : `, ${unchanged} unchanged`}.`,
          byTime
            ? 'An archive has no manifest: files of the same size and time count as the same.'
            : undefined,
          found.map(toLine),
          found.length < all(totals) ? `and ${all(totals) - found.length} more` : undefined,
        ),
      };
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

function all(totals: DiffTotals): number {
  return CHANGES.reduce((sum, change) => sum + totals[change].entries, 0);
}

function toData({ change, path, before, after, aspects }: Difference) {
  return {
    change,
    path: toText(path) ?? display(path, Number.POSITIVE_INFINITY),
    sizeBefore: before?.size,
    sizeAfter: after?.size,
    ...(aspects && { aspects: [...aspects] }),
  };
}

const MARKS: Readonly<Record<Change, string>> = { added: '+', removed: '-', changed: 'M', metadata: 'U' };

function toLine({ change, path, before, after, aspects }: Difference): string {
  const sizes = [before, after].map((entry) => (entry?.type === 'file' ? size(entry.size) : undefined));
  const [first, second] = sizes.filter((each) => each !== undefined);
  const how =
    change === 'metadata' || first === undefined
      ? ''
      : `, ${second === undefined || first === second ? first : `${first} -> ${second}`}`;
  const what = aspects ? ` (${aspects.join(', ')})` : '';
  return `${MARKS[change]} ${display(path, Number.POSITIVE_INFINITY) || '.'}${how}${what}`;
}

const HISTORY = [
  'oldest',
  'added',
  'same',
  'changed',
  'metadata',
  'absent',
  'removed',
  'unreadable',
] as const;

export function historyTool(settings: LocalSettings): Tool {
  return defineTool({
    name: 'history',
    title: 'History of one file',
    description:
      'One file or folder through all archives, newest first: in which it is, its size and digest, and where it changed. Reads manifests only.',
    effect: 'reads',
    input: z.strictObject({
      path: z.string().describe('Path within the archives, such as state/config.yaml'),
      changesOnly: z.boolean().default(false).describe('Leave out archives in which nothing changed'),
    }),
    output: z.object({
      path: z.string(),
      versions: z.array(
        z.object({
          archive: z.string(),
          change: z.enum(HISTORY),
          type: z.string().optional(),
          size: z.int().optional(),
          modified: z.string().optional(),
          digest: z.string().optional(),
          problem: z.string().optional(),
        }),
      ),
    }),
    run: async ({ path, changesOnly }, { signal, progress }) => {
      const listed = listArchives(settings.destination).reverse();
      const archives = listed.map(({ name, path: file }) => ({
        name,
        open: async () => ({ path: file, [Symbol.dispose]: () => {} }),
      }));
      const versions: Version[] = [];
      let done = 0;
      for await (const version of historyOf({ archives, path, signal })) {
        progress({ done: ++done, total: archives.length, message: 'reading manifests' });
        const isChange = version.change !== 'same' && version.change !== 'absent';
        if (isChange || !changesOnly) versions.unshift(version);
      }
      const data = versions.map(versionData);
      return {
        data: { path, versions: data },
        text: lines(
          `${path}: ${counted(data.length, changesOnly ? 'change' : 'archive')}.`,
          data.map(versionLine),
        ),
      };
    },
  });
}

function versionData(version: Version) {
  const { archive, change } = version;
  if (change === 'unreadable') return { archive, change, problem: version.problem };
  if (!('entry' in version)) return { archive, change };
  const { entry, digest } = version;
  const { type, size: bytes, mtime } = entry;
  return { archive, change, type, size: bytes, modified: isoTime(mtime), digest };
}

/** Undefined for times that a Date cannot hold. */
function isoTime(nanoseconds: string): string | undefined {
  const date = new Date(Number(BigInt(nanoseconds) / 1_000_000n));
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}

function versionLine(version: ReturnType<typeof versionData>): string {
  const {
    archive,
    change,
    problem,
    type,
    size: bytes,
    modified,
  } = { problem: undefined, type: undefined, size: undefined, modified: undefined, ...version };
  if (problem !== undefined) return `${archive}: skipped: ${problem}`;
  if (bytes === undefined) return `${archive}: ${change}`;
  return `${archive}: ${change}, ${type === 'file' ? size(bytes) : type}${modified === undefined ? '' : `, modified ${modified}`}`;
}
