import type { ArchiveInfo } from '../destination/inventory.ts';
import { ArchiveError } from '../errors.ts';
import type { Summary } from '../format/manifest.ts';
import type { Compression } from '../format/names.ts';
import { compressionOf } from '../format/read-tar.ts';

/** How the content of an archive is known to be right. */
export type Source =
  /** By the digests of its manifest; members are restored in parallel. */
  | { readonly against: 'manifest'; readonly info: ArchiveInfo; readonly summary: Summary }
  /** By the checksums of the compression and the structure of the tar alone, read as one stream. */
  | {
      readonly against: 'structure';
      readonly info: ArchiveInfo;
      readonly compression: Compression;
      readonly why: string;
    };

/** Throws `ArchiveCorrupt` where the archive is known to be bad. */
export function sourceOf(info: ArchiveInfo, ignoreManifest: boolean): Source {
  const stream = (why: string): Source => ({
    against: 'structure',
    info,
    compression: compressionOf(info.path),
    why,
  });
  if (ignoreManifest) return stream('its manifest is ignored as told');
  if (info.problem !== undefined) {
    throw new ArchiveError(
      'ArchiveCorrupt',
      `${info.path}: ${info.problem}. Nothing was changed. Restore another archive (km-backup list); where only the manifest is bad, --ignore-manifest restores by the archive's own checksums.`,
    );
  }
  if (!info.summary) return stream('it has no manifest');
  return { against: 'manifest', info, summary: info.summary };
}
