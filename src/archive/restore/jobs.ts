/** What worker threads do for `restore`. */
import { checkFile } from './check-file.ts';
import { compareEntries } from './compare-entries.ts';
import { restoreMembers } from './restore-members.ts';

export const restoreJobs = { restore: restoreMembers, compare: compareEntries, check: checkFile };
export type RestoreJobs = typeof restoreJobs;
