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

/**
 * The first copy makes the location where there is none; every later one must find the same one again.
 * @param isNew another location is at this address on purpose
 * @returns the location's id
 * @throws {ArchiveError} LocationUnsuitable when another location, or none, is where the known one was.
 */
export async function openForCopies(
  location: Location,
  destination: string,
  { isNew, now }: { readonly isNew: boolean; readonly now: () => Date },
): Promise<string> {
  const known = new KnownLocations(destination);
  const expected = isNew ? undefined : known.idOf(location.url);
  const { id } =
    expected === undefined ? await initLocation(location, now) : await openLocation(location, expected);
  try {
    known.remember(location.url, id);
  } catch (error) {
    throw destinationError(error, destination);
  }
  return id;
}
