/** What docs/troubleshooting.md says of a reason. */
export interface Explanation {
  readonly meaning: string;
  /** What a user of the resources does about it, in terms of spec fields; absent where nothing needs doing. */
  readonly kubectl?: string;
  /** What a user of the command line does about it, in terms of flags. */
  readonly shell?: string;
  /** The same for a user of the `KM_BACKUP_*` variables, where it differs. */
  readonly environment?: string;
}
