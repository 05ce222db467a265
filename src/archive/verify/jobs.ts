/** What worker threads do for `verify`. */
import { verifyMembers } from './verify-members.ts';

export const verifyJobs = { verify: verifyMembers };
export type VerifyJobs = typeof verifyJobs;
