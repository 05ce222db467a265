/** The entry of every worker thread. */
import { createJobs } from './create/jobs.ts';
import { serveJobs } from './pool/serve-jobs.ts';
import { restoreJobs } from './restore/jobs.ts';

serveJobs({ ...createJobs, ...restoreJobs });
