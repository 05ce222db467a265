import { type ArchiveInfo, refuseProblem } from '../destination/inventory.ts';
import type { Summary } from '../format/manifest.ts';
import type { Compression } from '../format/names.ts';
import { compressionOf } from '../format/read-tar.ts';

/** How the content of an archive is checked. */
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

/** @throws {ArchiveError} ArchiveCorrupt or ArchiveUnreadable when the inventory says so. */
export function sourceOf(info: ArchiveInfo, ignoreManifest: boolean): Source {
  const stream = (why: string): Source => ({
    against: 'structure',
    info,
    compression: compressionOf(info.path),
    why,
  });
  if (ignoreManifest) return stream('its manifest is ignored as told');
  refuseProblem(info, {
    corrupt:
      ". Nothing was changed. Restore another archive (km-backup list). If only the manifest is damaged, --ignore-manifest restores by the archive's own checksums.",
  });
  if (!info.summary) return stream('it has no manifest');
  return { against: 'manifest', info, summary: info.summary };
}
