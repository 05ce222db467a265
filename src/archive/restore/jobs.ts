/** What worker threads do for `restore`. */
import { restoreMembers } from './restore-members.ts';

export const restoreJobs = { restore: restoreMembers };
export type RestoreJobs = typeof restoreJobs;
