/** docs/moving-from-cronjob.md: the CronJob of the page becomes the schedule of the page. */
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { scheduleFromCronJob } from '../../src/cli/kubectl-km/import-cron-job.ts';
import { fencedBlocks } from '../support/doc-pages.ts';

it('translates the example as shown, with nothing left out', () => {
  const manifests = fencedBlocks('docs/moving-from-cronjob.md')
    .filter(({ info }) => info === 'yaml')
    .map(({ text }) => parse(text));
  const job = manifests.find(({ kind }) => kind === 'CronJob');
  const schedule = manifests.find(({ kind }) => kind === 'KmBackupSchedule');
  expect(scheduleFromCronJob(job, {})).toEqual({ spec: schedule.spec, untranslated: [] });
});
