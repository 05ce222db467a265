/** Runs the container of a Job on this machine: values of Secrets become variables, mounts become folders. */
import fs from 'node:fs';
import path from 'node:path';
import { kmBackup } from './km-backup.ts';

export interface Container {
  readonly args?: readonly string[];
  readonly env?: readonly {
    readonly name: string;
    readonly value?: string;
    readonly valueFrom?: { readonly secretKeyRef?: { readonly key: string } };
  }[];
}

export interface ContainerPlace {
  /** For the termination message. */
  readonly folder: string;
  /** Values by their keys in the Secret. */
  readonly secrets: Readonly<Record<string, string>>;
  /** The folder of the archives; absent where none is mounted. */
  readonly destination?: string;
}

/** @returns the termination message */
export async function runContainer(
  { args = [], env = [] }: Container,
  { folder, secrets, destination }: ContainerPlace,
): Promise<unknown> {
  const file = path.join(folder, 'termination-log');
  const variables = env.flatMap(({ name, value, valueFrom }) => {
    const of = value ?? secrets[valueFrom?.secretKeyRef?.key ?? ''];
    return of === undefined || name === 'TMPDIR' ? [] : [[name, of] as const];
  });
  const here = args.map((arg) =>
    arg
      .replace('/destination/backups/archives', destination ?? '/nowhere')
      .replace('/dev/termination-log', file)
      .replace(/--retry-seconds=\d+/, '--retry-seconds=2'),
  );
  await kmBackup(here, { env: Object.fromEntries(variables) });
  return JSON.parse(fs.readFileSync(file, 'utf8'));
}
