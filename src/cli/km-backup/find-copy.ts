/** `km-backup restore --find LOCATION`: which copy a restore would take, after every check that needs no target. */
import { ArchiveError, digestOf, listEntries } from '../../archive/index.ts';
import { formatBytes } from '../../log/units.ts';
import { verifyCopies } from '../../offsite/index.ts';
import { chosenAt } from './choose-copy.ts';
import type { CliContext } from './context.ts';
import { LocalView } from './local-view.ts';
import type { CopyFlags } from './location-flags.ts';
import { type Outcome, succeeded } from './restore-outcome.ts';

/** @throws {ArchiveError} as `chooseCopy`; PackMissing when a pack is gone or cut, IdentityMismatch */
export async function findCopy(url: string, flags: CopyFlags, context: CliContext): Promise<Outcome> {
  const copy = await chosenAt(url, flags, context);
  const { location, archive, series } = copy.options;
  const { signal } = context;
  for await (const { sound, problem } of verifyCopies([{ archive, series, key: '' }], {
    location,
    deep: false,
    signal,
  })) {
    if (!sound) {
      throw new ArchiveError(
        'PackMissing',
        `${location.url}: ${archive} cannot be restored from here: ${problem}. Choose another copy (km-backup verify ${location.url}).`,
      );
    }
  }
  // Also proves that the identity reads it.
  using view = await LocalView.of(copy, 'manifest', { isPinned: true });
  const { sha256, sizeBytes, startedAt } = copy.list;
  const owner = await ownerOfMost(view.archive, signal);
  const size = formatBytes(sizeBytes);
  return {
    ...succeeded(
      'CopyFound',
      `${location.url}: ${archive} of ${startedAt}, ${size}, series ${series || '(none)'}.`,
    ),
    found: {
      archive,
      series,
      sha256,
      manifestSha256: (await digestOf(`${view.archive}.manifest`, signal))!,
      sizeBytes,
      startedAt,
      ...(owner && { owner }),
    },
  };
}

/** User and group of most of an archive's files; undefined where it has none. */
async function ownerOfMost(
  archive: string,
  signal: AbortSignal,
): Promise<{ readonly uid: number; readonly gid: number } | undefined> {
  const counts = new Map<string, number>();
  await listEntries(
    archive,
    ({ type, uid, gid }) => {
      if (type === 'file') counts.set(`${uid} ${gid}`, (counts.get(`${uid} ${gid}`) ?? 0) + 1);
    },
    signal,
  );
  const [most] = [...counts].sort(([, a], [, b]) => b - a);
  if (!most) return undefined;
  const [uid = 0, gid = 0] = most[0].split(' ').map(Number);
  return { uid, gid };
}
