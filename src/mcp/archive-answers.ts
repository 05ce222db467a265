/** What verify, diff and history answer, of a directory and of a cluster: schemas, and the same in words. */
import { z } from 'zod';
import type { Aspect, Change, VerificationState, VerifiedAgainst, Version } from '../archive/index.ts';
import { formatBytes } from '../log/units.ts';
import { counted, lines } from './text.ts';

const STATES = ['sound', 'damaged', 'unreadable', 'missing'] as const satisfies readonly VerificationState[];
const AGAINST = ['manifest', 'manifest-deep', 'structure'] as const satisfies readonly VerifiedAgainst[];

export const Verified = z.object({
  name: z.string().describe('Name of the archive'),
  state: z.enum(STATES),
  against: z.enum(AGAINST).optional(),
  entries: z.int(),
  bytes: z.int(),
  problem: z.string().optional(),
});
export type Verified = z.infer<typeof Verified>;

const verdicts: Record<VerificationState, string> = {
  sound: 'sound',
  damaged: 'DAMAGED',
  unreadable: 'unreadable, so nothing is known about its content',
  missing: 'missing',
};

export function verdict(label: string, { state, entries, bytes, problem, against }: Verified): string {
  if (problem !== undefined) return `${label}: ${verdicts[state]}: ${problem}`;
  const basis =
    against === 'structure' ? 'by structure and checksums only: it has no manifest' : 'against its manifest';
  return `${label}: ${verdicts[state]}, ${counted(entries, 'entry', 'entries')}, ${formatBytes(bytes)}, checked ${basis}`;
}

export const CHANGES = ['added', 'removed', 'changed', 'metadata'] as const satisfies readonly Change[];

const ChangeTotals = z.object({
  entries: z.int(),
  files: z.int(),
  bytesBefore: z.int(),
  bytesAfter: z.int(),
});

export const Totals = z.object({
  added: ChangeTotals,
  removed: ChangeTotals,
  changed: ChangeTotals,
  metadata: ChangeTotals,
  unchanged: z.int().optional(),
  byTime: z.boolean().describe('An archive has no manifest, so contents were not compared'),
});
export type Totals = z.infer<typeof Totals>;

const patterns = (what: string) => z.array(z.string()).optional().describe(`${what}, as in .gitignore`);

/** What to choose of a difference. */
export const DiffChoice = {
  include: patterns('Only names that match'),
  exclude: patterns('No names that match'),
  limit: z.int().min(0).max(10_000).default(200).describe('Most differences to list; totals count all'),
};

export const Differences = z.object({
  before: z.string().describe('Name of the earlier archive'),
  after: z.string().describe('Name of the later archive'),
  totals: z.record(z.enum(CHANGES), ChangeTotals),
  unchanged: Totals.shape.unchanged,
  byTime: Totals.shape.byTime,
  differences: z.array(
    z.object({
      change: z.enum(CHANGES),
      path: z.string(),
      sizeBefore: z.int().optional(),
      sizeAfter: z.int().optional(),
      aspects: z.array(z.string()).optional(),
    }),
  ),
});

interface Side {
  readonly type: string;
  readonly size: number;
}

/** One difference, whether read here or in a pod. */
export interface Differing {
  readonly change: Change;
  readonly path: string;
  readonly before?: Side | undefined;
  readonly after?: Side | undefined;
  readonly aspects?: readonly (Aspect | string)[] | undefined;
}

/** @param found the first of all that `totals` counts */
export function differencesOf(
  names: { readonly before: string; readonly after: string },
  found: readonly Differing[],
  { unchanged, byTime, added, removed, changed, metadata }: Totals,
): { data: z.infer<typeof Differences>; text: string } {
  const totals = { added, removed, changed, metadata };
  const all = CHANGES.reduce((sum, change) => sum + totals[change].entries, 0);
  return {
    data: {
      ...names,
      totals,
      unchanged,
      byTime,
      differences: found.map(({ change, path, before, after, aspects }) => ({
        change,
        path,
        sizeBefore: before?.size,
        sizeAfter: after?.size,
        ...(aspects && { aspects: [...aspects] }),
      })),
    },
    text: lines(
      `${names.before} -> ${names.after}: ${CHANGES.map((change) => `${totals[change].entries} ${change}`).join(', ')}${unchanged === undefined ? '' : `, ${unchanged} unchanged`}.`,
      byTime ? 'An archive has no manifest: files of the same size and time count as the same.' : undefined,
      found.map(differenceLine),
      found.length < all ? `and ${all - found.length} more` : undefined,
    ),
  };
}

const MARKS: Readonly<Record<Change, string>> = { added: '+', removed: '-', changed: 'M', metadata: 'U' };

function differenceLine({ change, path, before, after, aspects }: Differing): string {
  const sizes = [before, after].map((side) => (side?.type === 'file' ? formatBytes(side.size) : undefined));
  const [first, second] = sizes.filter((each) => each !== undefined);
  const how =
    change === 'metadata' || first === undefined
      ? ''
      : `, ${second === undefined || first === second ? first : `${first} -> ${second}`}`;
  const what = aspects ? ` (${aspects.join(', ')})` : '';
  return `${MARKS[change]} ${path || '.'}${how}${what}`;
}

export const HISTORY = [
  'oldest',
  'added',
  'same',
  'changed',
  'metadata',
  'absent',
  'removed',
  'unreadable',
] as const satisfies readonly Version['change'][];

/** What to choose of a history. */
export const HistoryChoice = {
  path: z.string().describe('Path within the archives, such as state/config.yaml'),
  changesOnly: z.boolean().default(false).describe('Leave out archives in which nothing changed'),
};

export const Versions = z.object({
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
});
type VersionData = z.infer<typeof Versions>['versions'][number];

/** One version, whether read here or in a pod. */
export interface Versioned {
  readonly archive: string;
  readonly change: Version['change'];
  readonly entry?: { readonly type: string; readonly size: number; readonly mtime: string } | undefined;
  readonly digest?: string | undefined;
  readonly problem?: string | undefined;
}

/** @param oldestFirst in all archives */
export function versionsOf(
  { path, changesOnly }: { readonly path: string; readonly changesOnly: boolean },
  oldestFirst: readonly Versioned[],
): { data: z.infer<typeof Versions>; text: string } {
  const versions = oldestFirst
    .filter(({ change }) => !changesOnly || (change !== 'same' && change !== 'absent'))
    .map(versionData)
    .reverse();
  return {
    data: { path, versions },
    text: lines(
      `${path}: ${counted(versions.length, changesOnly ? 'change' : 'archive')}.`,
      versions.map(versionLine),
    ),
  };
}

function versionData({ archive, change, entry, digest, problem }: Versioned): VersionData {
  if (!entry) return { archive, change, problem };
  const { type, size, mtime } = entry;
  return { archive, change, type, size, modified: isoTime(mtime), digest };
}

/** Undefined for times that a Date cannot hold. */
function isoTime(nanoseconds: string): string | undefined {
  const date = new Date(Number(BigInt(nanoseconds) / 1_000_000n));
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}

function versionLine({ archive, change, problem, type, size, modified }: VersionData): string {
  if (problem !== undefined) return `${archive}: skipped: ${problem}`;
  if (size === undefined) return `${archive}: ${change}`;
  return `${archive}: ${change}, ${type === 'file' ? formatBytes(size) : type}${modified === undefined ? '' : `, modified ${modified}`}`;
}
