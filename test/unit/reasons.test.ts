import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  BACKUP_REASONS,
  COPY_REASONS,
  EVENT_REASONS,
  type Explanation,
  exitCodeOf,
  HEALTH_REASONS,
  type JobKind,
  LOCATION_REASONS,
  notRetried,
  quoteReason,
  RESTORE_REASONS,
  RUN_REASONS,
  type RunReason,
  SCHEDULE_REASONS,
} from '../../src/api/reasons.ts';

const root = join(import.meta.dirname, '../..');
const all: Record<string, Explanation> = {
  ...RUN_REASONS,
  ...BACKUP_REASONS,
  ...RESTORE_REASONS,
  ...LOCATION_REASONS,
  ...COPY_REASONS,
  ...SCHEDULE_REASONS,
  ...HEALTH_REASONS,
  ...EVENT_REASONS,
};
const source = globSync('src/**/*.ts', { cwd: root })
  .filter((file) => !file.endsWith('.test.ts') && !/api\/(?:[a-z]+-)?reasons\.ts$/.test(file))
  .map((file) => readFileSync(join(root, file), 'utf8'))
  .join('\n');

describe('the table of reasons', () => {
  it.each(Object.keys(all))('%s is given somewhere', (reason) => {
    expect(source).toContain(`'${reason}'`);
  });

  it('has no reason twice', () => {
    const tables = [RUN_REASONS, BACKUP_REASONS, RESTORE_REASONS, LOCATION_REASONS, COPY_REASONS];
    const names = [...tables, SCHEDULE_REASONS, HEALTH_REASONS, EVENT_REASONS].flatMap(Object.keys);
    expect(names.toSorted()).toEqual([...new Set(names)].toSorted());
  });

  it.each(Object.entries(RUN_REASONS))('%s says what to do, unless it is a success', (_, explanation) => {
    const { kubectl, shell }: Explanation = explanation;
    expect(explanation.exit === 'ok' || (kubectl ?? shell) !== undefined).toBe(true);
  });

  it('gives up at once where another try would end the same way', () => {
    expect(notRetried('backup')).toEqual([2, 3, 4, 7]);
    expect(notRetried('restore')).toEqual([2, 5, 7]);
  });

  const failures = Object.entries(RUN_REASONS).filter(([, { exit }]) => exit !== 'ok');
  const retried = (kind: JobKind) =>
    failures
      .filter(([reason]) => !notRetried(kind).includes(exitCodeOf(reason as RunReason)))
      .map(([reason]) => reason);
  const passing = [
    'SourceMissing',
    'SourceEmpty',
    'DestinationUnusable',
    'WriteFailed',
    'OutputExists',
    'ArchiveMissing',
    'ArchiveUnreadable',
    'TargetUnavailable',
    'RestoreFailed',
    'OutOfResources',
    'ApprovalUnavailable',
    'ApprovalDeclined',
    'ApprovalNotValid',
    'Cancelled',
    'Internal',
    'Terminated',
    'Interrupted',
    'LocationUnavailable',
    'LocationDenied',
    'LocationUnsuitable',
    'ScriptFailed',
    'ArchiveNotManaged',
  ];
  it.each<[JobKind, string[]]>([
    // What it wrote and found damaged, it writes again.
    ['backup', ['ArchiveCorrupt', 'ManifestInvalid', 'PackMissing']],
    ['restore', ['FilesNotCaptured', 'Locked']],
  ])('a %s tries again only after what may pass', (kind, more) =>
    expect(retried(kind).toSorted()).toEqual([...passing, ...more].toSorted()),
  );
});

describe('the troubleshooting page', () => {
  const page = readFileSync(join(root, 'docs/troubleshooting.md'), 'utf8');

  it.each(Object.keys(all))('explains %s', (reason) => expect(page).toContain(`| \`${reason}\` |`));

  it('explains no other', () => {
    const listed = [...page.matchAll(/^\|(?: `\w+=\w+` \|)? `(\w+)` \|/gm)].map(([, reason]) => reason!);
    expect(listed.filter((reason) => !(reason in all))).toEqual([]);
    expect(listed).toHaveLength(Object.keys(all).length);
  });
});

describe('quoting a reason of others', () => {
  it.each([
    ['ImagePullBackOff', 'ImagePullBackOff'],
    [undefined, 'PodStarting'],
    ['', 'PodStarting'],
    ['not fit for a condition', 'PodStarting'],
  ])('%s becomes %s', (given, expected) => expect(quoteReason(given, 'PodStarting')).toBe(expected));
});
