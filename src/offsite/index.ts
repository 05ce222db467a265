/** The only door of the off-site room. */

export { generateKeyPair, Opener, Sealer } from './age.ts';
export { type CopyOptions, type CopyProgress, type CopyReport, copyArchive } from './copy.ts';
export {
  type FetchOptions,
  fetchArchive,
  fetchManifest,
  fetchMembers,
  fetchOriginalManifest,
  findList,
} from './fetch.ts';
export { fetchPaths } from './fetch-paths.ts';
export type { ArchiveList } from './list-file.ts';
export type { Location } from './location.ts';
export {
  checkLocation,
  initLocation,
  type LocationIdentity,
  openLocation,
} from './location-identity.ts';
export { type LocationOptions, locationAt } from './open.ts';
export { openForCopies, openKnownLocation } from './open-for-copies.ts';
export { type PruneCopiesReport, pruneCopies } from './prune.ts';
export { RECIPE } from './recipe.ts';
export { type ListedArchive, listedArchives, readList } from './stored-archives.ts';
export { putSuspicion, readSuspicion } from './suspicions.ts';
export { Throttle } from './throttle.ts';
export { type CopyVerification, verifyCopies } from './verify.ts';
export { destinationError, existingWriterOf, KnownLocations, lockCopies, writerOf } from './writer-state.ts';
