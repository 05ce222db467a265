/** What a restore does, in this order; not every restore does all of it. */
export type RestorePhase =
  /** Brings the archive here from a location. */
  | 'fetching'
  /** Reads the manifest; without one the whole archive. */
  | 'validating'
  /** Compares the contents with the manifest, and writes nothing. */
  | 'checking'
  | 'unpacking'
  | 'syncing'
  | 'swapping'
  | 'removing the old state';

export interface RestoreProgress {
  readonly phase: RestorePhase;
  /** Files of which all but the last bytes may be done. */
  readonly files: number;
  readonly ofFiles: number | undefined;
  /** Bytes of content, holes left out. Without a manifest: compressed bytes read, of the archive's. */
  readonly bytes?: number;
  readonly ofBytes?: number;
}
