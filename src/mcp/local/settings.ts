/** What the local tools work on: one destination and the `KM_BACKUP_*` variables, as `km-backup serve` reads them. */
import path from 'node:path';
import { ArchiveError, type ArchiveInfo, listArchives } from '../../archive/index.ts';
import { parseEnvironment, type Settings } from '../../standalone/environment.ts';
import { destinationOf, type Environment, sourceOf } from '../../standalone/variables.ts';

export interface LocalSettings extends Omit<Settings, 'source'> {
  /** Undefined: there is nothing to back up, only archives to look at. */
  readonly source: string | undefined;
  /** Directories that may be restored, with everything in them; the source is one. */
  readonly targets: readonly string[];
  /** Passed on to a script. */
  readonly env: Environment;
  readonly now: () => Date;
}

/**
 * @param targets further directories that may be restored
 * @throws {ArchiveError} Usage when variables are bad, or neither a destination nor a source is set
 */
export function localSettings(env: Environment, targets: readonly string[], now: () => Date): LocalSettings {
  const parsed = parseEnvironment(env);
  if (!parsed.ok) {
    throw new ArchiveError(
      'Usage',
      `nothing was started:\n${parsed.problems.map((problem) => `  ${problem}`).join('\n')}`,
    );
  }
  const hasSource = sourceOf(env) !== undefined;
  if (!hasSource && destinationOf(env) === undefined) {
    throw new ArchiveError('Usage', 'The destination is missing: pass --destination, or set KM_BACKUP_DEST.');
  }
  const { settings } = parsed;
  const source = hasSource ? settings.source : undefined;
  const all = [...(source === undefined ? [] : [source]), ...targets.map((target) => path.resolve(target))];
  return { ...settings, source, targets: all, env, now };
}

/** @throws {ArchiveError} Usage when no source is set */
export function requiredSource({ source }: LocalSettings): string {
  if (source !== undefined) return source;
  throw new ArchiveError(
    'Usage',
    'This server has no source: set KM_BACKUP_SOURCE or KM_STATE_PATH where it is started.',
  );
}

/** Archives are chosen by name among those of the destination, so no name leads out of it. */
export function archiveOf({ destination }: LocalSettings, name: string): ArchiveInfo {
  const found = listArchives(destination).find((archive) => archive.name === name);
  if (found) return found;
  throw new ArchiveError(
    'ArchiveMissing',
    `${destination} has no archive ${JSON.stringify(name)}. The tool list shows what it has.`,
  );
}

/** The newest archive that is worth a restore. */
export function newestOf({ destination }: LocalSettings): ArchiveInfo {
  const archives = listArchives(destination);
  const complete = archives.find((archive) => archive.class === 'complete');
  const found =
    complete ?? archives.find(({ class: kind }) => kind === 'incomplete' || kind === 'unverified');
  if (found) return found;
  throw new ArchiveError('ArchiveMissing', `${destination} has no archive to restore.`);
}

/**
 * The directory to restore.
 * @param wanted undefined: the source
 * @throws {ArchiveError} Usage when the person who started the server did not name it
 */
export function targetOf(settings: LocalSettings, wanted: string | undefined): string {
  const { targets } = settings;
  const target = wanted === undefined ? requiredSource(settings) : path.resolve(wanted);
  if (targets.some((one) => isInside(one, target))) return target;
  const allowed = targets.length > 0 ? targets.join(', ') : 'none';
  throw new ArchiveError(
    'Usage',
    `${target} may not be restored by this server. Allowed, with everything in them: ${allowed}. Start the server with --target ${target} to allow it.`,
  );
}

function isInside(directory: string, target: string): boolean {
  const relative = path.relative(directory, target);
  return relative === '' || (relative !== '..' && !relative.startsWith('../') && !path.isAbsolute(relative));
}
