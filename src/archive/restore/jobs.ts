/** What worker threads do for `restore`. */
import { checkFile } from './check-file.ts';
import { compareEntries } from './compare-entries.ts';
import { type EmptyJob, emptyDirectories } from './empty-directories.ts';
import { restoreMembers } from './restore-members.ts';

export const restoreJobs = {
  restore: restoreMembers,
  compare: compareEntries,
  check: checkFile,
  empty: (job: EmptyJob) => emptyDirectories(job),
};
export type RestoreJobs = typeof restoreJobs;
