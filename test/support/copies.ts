/** A location in a directory, with copies of a sandbox's archives. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { type CopyOptions, type CopyReport, copyArchive } from '../../src/offsite/copy.ts';
import { DirectoryLocation } from '../../src/offsite/directory-location.ts';
import { fetchArchive } from '../../src/offsite/fetch.ts';
import type { ByteRange, Location } from '../../src/offsite/location.ts';
import { initLocation } from '../../src/offsite/location-identity.ts';
import type { Sandbox } from './backup.ts';

/** The sizes of stored objects by key, and a hook that runs before each is stored. */
export class CountingLocation extends DirectoryLocation {
  readonly puts: string[] = [];
  bytesRead = 0;
  before: (verb: string, key: string) => void = () => {};

  override async put(key: string, bytes: Uint8Array): Promise<void> {
    this.before('put', key);
    await super.put(key, bytes);
    this.puts.push(key);
  }

  override async get(key: string, range?: ByteRange): Promise<Buffer | undefined> {
    this.before('get', key);
    const bytes = await super.get(key, range);
    this.bytesRead += bytes?.length ?? 0;
    return bytes;
  }

  packsPut(): string[] {
    return this.puts.splice(0).filter((key) => key.startsWith('packs/'));
  }
}

export async function copyTo(
  location: Location,
  archive: string,
  options: Partial<CopyOptions> = {},
): Promise<CopyReport> {
  const { id } = await initLocation(location, () => new Date());
  return await copyArchive({ location, locationId: id, archive, sealer: undefined, ...options });
}

export const sha256 = (file: string): string =>
  execFileSync('sha256sum', [file], { encoding: 'utf8' }).split(' ')[0]!;

/** Fetches a copy to a new file. */
export async function fetchFrom(
  box: Sandbox,
  location: Location,
  archive: string,
  more: Partial<Parameters<typeof fetchArchive>[0]> = {},
): Promise<string> {
  const file = path.join(fs.mkdtempSync(path.join(box.root, 'fetched-')), archive);
  await fetchArchive({ location, series: '', archive, opener: undefined, ...more }, file);
  return file;
}
