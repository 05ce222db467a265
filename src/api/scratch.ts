/** How an archive is proven without touching anybody's data: space to restore into, and checks of the content. */
import { z } from 'zod';
import { Quantity, ResourceName } from './schema.ts';
import { JobStep } from './step.ts';

export const Scratch = z.object({
  storageClassName: ResourceName.optional().describe('Default: the default StorageClass of the cluster.'),
  size: Quantity.describe('Room for the files of the archive, unpacked.'),
  script: JobStep.optional().describe(
    'Script that runs in the restored folder and decides on success. Only where the operator was installed with jobs.allowScripts=true.',
  ),
});

export const ContentChecks = z
  .object({
    sqlite: z
      .array(z.string().min(1).max(1024))
      .max(50)
      .optional()
      .describe('Patterns of SQLite files: PRAGMA integrity_check.'),
    json: z
      .array(z.string().min(1).max(1024))
      .max(50)
      .optional()
      .describe('Patterns of JSON files: each must parse.'),
    gzip: z
      .array(z.string().min(1).max(1024))
      .max(50)
      .optional()
      .describe('Patterns of gzip files: read to the end.'),
  })
  .describe('Checks of the restored content, before it goes live.');
export type ContentChecks = z.output<typeof ContentChecks>;
