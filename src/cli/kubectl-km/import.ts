import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Command } from 'commander';
import { API_VERSION } from '../../api/names.ts';
import { FleetError } from '../../fleet/errors.ts';
import { say } from '../km-backup/output.ts';
import type { PluginContext } from './context.ts';
import { type CronJob, scheduleFromCronJob } from './import-cron-job.ts';
import { type ImportOptions, scheduleFromEnv, type Translation } from './import-env.ts';
import { write } from './output.ts';

interface Flags extends ImportOptions {
  readonly name?: string;
}

const STDIN = 0;

export function command(_context: PluginContext): Command {
  return new Command('import')
    .description(
      'translate KM_BACKUP_* variables or a CronJob that runs tar into a schedule, printed as a manifest',
    )
    .argument('<file>', 'a .env file, or a manifest with CronJobs; - for standard input')
    .option('--name <name>', 'name of the schedule (default: that of the CronJob, or of the file)')
    .option('--claim <claim>', 'claim to back up')
    .option('--destination-claim <claim>', 'claim of the archives, if it is another')
    .action(async (file: string, flags: Flags) => {
      const text = readFileSync(file === '-' ? STDIN : file, 'utf8');
      const { yamlOf } = await import('./yaml.ts');
      for (const { name, namespace, translation } of await translations(text, file, flags)) {
        const metadata = { name: flags.name ?? name, ...(namespace && { namespace }) };
        write(
          `---\n${yamlOf({ apiVersion: API_VERSION, kind: 'KmBackupSchedule', metadata, spec: translation.spec })}`,
        );
        for (const sentence of translation.untranslated) say(`${metadata.name}: ${sentence}`);
      }
    });
}

interface Named {
  readonly name: string;
  readonly namespace?: string | undefined;
  readonly translation: Translation;
}

/** @throws {FleetError} when the file is neither variables nor a manifest with a CronJob. */
async function translations(text: string, file: string, options: ImportOptions): Promise<Named[]> {
  const jobs = await cronJobs(text);
  if (jobs.length > 0) {
    return jobs.map((job) => ({
      name: job.metadata?.name ?? 'backup',
      namespace: job.metadata?.namespace,
      translation: scheduleFromCronJob(job, options),
    }));
  }
  if (/^\s*(export\s+)?KM_\w+\s*=/m.test(text)) {
    const name = path
      .basename(file)
      .replace(/\.env$|^\.env$|^-$/, '')
      .toLowerCase()
      .replace(/[^a-z0-9-]+/g, '-')
      .replace(/^-+|-+$/g, '');
    return [{ name: name || 'backup', translation: scheduleFromEnv(text, options) }];
  }
  throw new FleetError(
    'Usage',
    `${file} has neither KM_BACKUP_* variables nor a CronJob. Nothing was translated.`,
  );
}

async function cronJobs(text: string): Promise<CronJob[]> {
  const { parseAllDocuments } = await import('yaml');
  const documents = parseAllDocuments(text);
  if (!Array.isArray(documents)) return [];
  return documents
    .filter(({ errors }) => errors.length === 0)
    .flatMap((document) => {
      const value = document.toJS({ maxAliasCount: 100 }) as (CronJob & { items?: CronJob[] }) | null;
      return value?.kind === 'List' ? (value.items ?? []) : value ? [value] : [];
    })
    .filter(({ kind }) => kind === 'CronJob');
}
