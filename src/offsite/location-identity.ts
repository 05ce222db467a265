/** A location knows itself: an object with an id that every command checks before it writes or deletes. */
import { randomUUID } from 'node:crypto';
import { ArchiveError } from '../archive/index.ts';
import { IDENTITY_KEY, README_KEY } from './keys.ts';
import type { Location } from './location.ts';
import { RECIPE } from './recipe.ts';

export interface LocationIdentity {
  readonly version: 1;
  readonly id: string;
  readonly created: string;
}

/** Makes a location where there is none; the one that is there is kept. */
export async function initLocation(location: Location, now: () => Date): Promise<LocationIdentity> {
  const present = await readIdentity(location);
  if (present) return present;
  for (const prefix of ['packs/', 'archives/']) {
    for await (const { key } of location.list(prefix)) {
      throw new ArchiveError(
        'LocationUnsuitable',
        `${location.url} holds copies (${key}) but no ${IDENTITY_KEY}. Was it deleted? Restore that object; a new one would hide that something is wrong.`,
      );
    }
  }
  const identity: LocationIdentity = { version: 1, id: randomUUID(), created: now().toISOString() };
  await location.put(README_KEY, Buffer.from(RECIPE));
  await location.put(IDENTITY_KEY, Buffer.from(`${JSON.stringify(identity)}\n`));
  return identity;
}

/**
 * @param expectedId the id that the location had before; another one means that it was exchanged
 * @throws {ArchiveError} LocationUnsuitable
 */
export async function openLocation(location: Location, expectedId?: string): Promise<LocationIdentity> {
  const identity = await readIdentity(location);
  if (!identity) {
    const before = expectedId === undefined ? '' : ` It was there before (${expectedId}).`;
    throw new ArchiveError(
      'LocationUnsuitable',
      `${location.url} is not a location of km-backup: it has no ${IDENTITY_KEY}.${before} Check the address, or make one there: km-backup location init ${location.url}`,
    );
  }
  if (expectedId !== undefined && identity.id !== expectedId) {
    throw new ArchiveError(
      'LocationUnsuitable',
      `${location.url} is not the location it was: its id is ${identity.id}, not ${expectedId}. Nothing was written or deleted.`,
    );
  }
  return identity;
}

async function readIdentity(location: Location): Promise<LocationIdentity | undefined> {
  const bytes = await location.get(IDENTITY_KEY);
  if (!bytes) return undefined;
  try {
    const value = JSON.parse(bytes.toString('utf8')) as Partial<LocationIdentity>;
    if (value.version === 1 && typeof value.id === 'string' && typeof value.created === 'string') {
      return value as LocationIdentity;
    }
  } catch {
    // Said below, as of any other content.
  }
  throw new ArchiveError(
    'LocationUnsuitable',
    `${location.url}: ${IDENTITY_KEY} cannot be read by this version of km-backup.`,
  );
}

const PROBE_KEY = 'km-location-probe';

export interface LocationCheck extends LocationIdentity {
  /** Why objects cannot be deleted: locks, or no permission. Copies work, retention of copies does not. */
  readonly deleteRefused: string | undefined;
}

/**
 * Tries each verb that copies need, on an object of its own.
 * @throws {ArchiveError} LocationUnavailable, LocationDenied or LocationUnsuitable, naming the verb that failed.
 */
export async function checkLocation(location: Location, expectedId?: string): Promise<LocationCheck> {
  const identity = await openLocation(location, expectedId);
  const bytes = Buffer.from(`${identity.id}\n`);
  await location.put(PROBE_KEY, bytes);
  const back = await location.get(PROBE_KEY);
  let isListed = false;
  for await (const { key } of location.list(PROBE_KEY)) isListed ||= key === PROBE_KEY;
  if (!back?.equals(bytes) || !isListed) {
    throw new ArchiveError(
      'LocationUnavailable',
      `${location.url}: what was written is not ${isListed ? 'read back as it was' : 'listed'}. Copies there could not be trusted.`,
    );
  }
  try {
    await location.delete(PROBE_KEY);
  } catch (error) {
    if (!(error instanceof ArchiveError) || error.reason !== 'LocationDenied') throw error;
    return { ...identity, deleteRefused: error.message };
  }
  return { ...identity, deleteRefused: undefined };
}
