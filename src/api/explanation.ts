/** What docs/troubleshooting.md says of a reason. */
export interface Explanation {
  readonly meaning: string;
  /** What a user of the resources can do, in terms of spec fields; absent if there is nothing to do. */
  readonly kubectl?: string;
  /** What a user of the command line can do, in terms of flags. */
  readonly shell?: string;
  /** The same for a user of the `KM_BACKUP_*` variables, if it differs. */
  readonly environment?: string;
}
