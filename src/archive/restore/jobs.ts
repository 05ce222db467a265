/** What worker threads do for `restore`. */
import { checkFile } from './check-file.ts';
import { restoreMembers } from './restore-members.ts';

export const restoreJobs = { restore: restoreMembers, check: checkFile };
export type RestoreJobs = typeof restoreJobs;
