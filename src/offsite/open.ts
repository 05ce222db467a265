/** From an address to a location. */
import { ArchiveError } from '../archive/index.ts';
import { DirectoryLocation } from './directory-location.ts';
import type { Location } from './location.ts';
import type { S3Options } from './s3-location.ts';

export type LocationOptions = Omit<S3Options, 'bucket' | 'prefix' | 'forcePathStyle'> & {
  readonly forcePathStyle?: boolean | undefined;
};

/** @throws {ArchiveError} Usage when the address is malformed. */
export async function locationAt(url: string, options: LocationOptions): Promise<Location> {
  if (url.startsWith('dir:') && url.length > 4) return new DirectoryLocation(url.slice(4));
  const match = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*))?$/.exec(url);
  if (!match) {
    throw new ArchiveError(
      'Usage',
      `${JSON.stringify(url)} is not the address of a location: use s3://BUCKET/PREFIX or dir:PATH.`,
    );
  }
  const prefix = (match[2] ?? '').replace(/^\/+|\/+$/g, '');
  // Loaded only when needed: the SDK takes longer to load than a small backup to run.
  const { S3Location } = await import('./s3-location.ts');
  return new S3Location({
    ...options,
    bucket: match[1]!,
    prefix,
    forcePathStyle: options.forcePathStyle ?? false,
  });
}
