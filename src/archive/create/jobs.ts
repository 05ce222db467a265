/** The jobs of worker threads for `create`: packing, and comparing what was written. */
import { verifyJobs } from '../verify/jobs.ts';
import { packGroup } from './pack-member.ts';
import { packPart } from './pack-part.ts';

export const createJobs = { ...verifyJobs, group: packGroup, part: packPart };
export type CreateJobs = typeof createJobs;
