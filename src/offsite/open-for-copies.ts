/** Opens a location for what one destination copies or prunes there. */

import type { Location } from './location.ts';
import { initLocation, openLocation } from './location-identity.ts';
import { destinationError, KnownLocations } from './writer-state.ts';

/**
 * The location that the destination was copied to before; none is made.
 * @throws {ArchiveError} LocationUnsuitable
 */
export async function openKnownLocation(location: Location, destination: string): Promise<void> {
  await openLocation(location, new KnownLocations(destination).idOf(location.url));
}

export interface ExpectedLocation {
  /** Another location is at this address on purpose. */
  readonly isNew: boolean;
  /** The id that the caller remembers; it counts more than what the destination remembers. */
  readonly expectedId?: string | undefined;
  readonly now: () => Date;
}

/**
 * The first copy makes the location where there is none; every later one must find the same one again.
 * @returns the location's id
 * @throws {ArchiveError} LocationUnsuitable when another location, or none, is where the known one was.
 */
export async function openForCopies(
  location: Location,
  destination: string,
  { isNew, expectedId, now }: ExpectedLocation,
): Promise<string> {
  const known = new KnownLocations(destination);
  const expected = isNew ? undefined : (expectedId ?? known.idOf(location.url));
  const { id } =
    expected === undefined ? await initLocation(location, now) : await openLocation(location, expected);
  try {
    known.remember(location.url, id);
  } catch (error) {
    throw destinationError(error, destination);
  }
  return id;
}
