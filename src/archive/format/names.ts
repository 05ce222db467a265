/** How an archive is compressed. */
export type Compression = 'gzip' | 'zstd';

export const extensionOf: Record<Compression, string> = { gzip: '.tgz', zstd: '.tar.zst' };

/** Names that retention may remove. Archives of the original script match too. */
const managed = /^km-backup-.*\.(?:tgz|tar\.gz|tar\.zst)$/is;
const stamped = /^km-backup-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z?\.(?:tgz|tar\.gz|tar\.zst)$/i;

export const MANIFEST_SUFFIX = '.manifest';
/** Next to an archive that the guard found suspicious. */
export const SUSPICION_SUFFIX = '.suspicious';
export const LOCK_NAME = '.km-backup.lock';
/** Where a restore keeps its journal, the staged tree and the old state: next to the target, or inside a mount point. */
export const RESTORE_STATE_NAME = '.km-restore';
const TEMPORARY_PREFIX = '.km-backup-';
const TEMPORARY_SUFFIX = '.tmp';

export function isManagedName(name: string): boolean {
  return managed.test(name);
}

export function isManifestName(name: string): boolean {
  return name.endsWith(MANIFEST_SUFFIX) && isManagedName(name.slice(0, -MANIFEST_SUFFIX.length));
}

export function isSuspicionName(name: string): boolean {
  return name.endsWith(SUSPICION_SUFFIX) && isManagedName(name.slice(0, -SUSPICION_SUFFIX.length));
}

export function isTemporaryName(name: string): boolean {
  return name.startsWith(TEMPORARY_PREFIX) && name.endsWith(TEMPORARY_SUFFIX);
}

/** State, results and locks of `km-backup serve` and of scripts. */
const schedulerFile = /^\.km-backup-(?:serve|script)[-.]/;

/** Whether km-backup itself made a file of this name in a destination (archive, manifest, lock, state, temporary). */
export function isOwnName(name: string): boolean {
  return (
    isManagedName(name) ||
    isManifestName(name) ||
    isSuspicionName(name) ||
    isTemporaryName(name) ||
    name === LOCK_NAME ||
    schedulerFile.test(name)
  );
}

export function manifestNameOf(archiveName: string): string {
  return archiveName + MANIFEST_SUFFIX;
}

export function suspicionNameOf(archiveName: string): string {
  return archiveName + SUSPICION_SUFFIX;
}

/** A hidden name outside the managed pattern, for a file that is still being written. */
export function temporaryName(token: string): string {
  return TEMPORARY_PREFIX + token + TEMPORARY_SUFFIX;
}

/** `km-backup-20240201T120000Z.tgz`: UTC, rounded down to the second. */
export function formatName(at: Date, compression: Compression): string {
  const stamp = at
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replaceAll(/[-:]/g, '');
  return `km-backup-${stamp}${extensionOf[compression]}`;
}

/** The time in a managed name; undefined if it has none. A time without `Z` (the original script's) counts as UTC. */
export function timeOfName(name: string): Date | undefined {
  const match = stamped.exec(name);
  if (!match) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const at = new Date(Date.UTC(year, month - 1, day, hour, minute, second));
  // Date.UTC carries over: February 30 would become March 1.
  const faithful = at.getUTCMonth() === month - 1 && at.getUTCDate() === day && at.getUTCHours() === hour;
  return faithful ? at : undefined;
}

/** The compression that a managed name's ending stands for. */
export function compressionOfName(name: string): Compression {
  return name.toLowerCase().endsWith('.zst') ? 'zstd' : 'gzip';
}
