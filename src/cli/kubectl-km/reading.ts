/** What commands that read archives share: the pod, what it says, and how it ends. */
import type { Command } from 'commander';
import type { KmBackup } from '../../api/backup.ts';
import type { KmBackupSchedule } from '../../api/backup-schedule.ts';
import { ExitCode } from '../../api/exit-codes.ts';
import type { Cluster } from '../../fleet/cluster.ts';
import { FleetError } from '../../fleet/errors.ts';
import {
  type CopyReader,
  KM_BACKUP,
  type Reader,
  readArchives,
  readCopies,
  type Streams,
} from '../../fleet/read-archives.ts';
import { printable } from '../../log/printable.ts';
import { addClusterFlags, type ClusterFlags, type PluginContext } from './context.ts';
import { startTicker } from './progress.ts';

export interface ReadFlags extends ClusterFlags {
  readonly image?: string;
}

export function addReadFlags(command: Command): Command {
  return addClusterFlags(
    command.option('--image <image>', 'image that has km-backup (default: that of the Jobs of the operator)'),
  );
}

export interface CopyFlags extends ReadFlags {
  readonly location?: string;
  readonly identitySecret?: string;
}

/** Flags of commands that also read copies off the cluster. */
export function addCopyFlags(command: Command): Command {
  return addReadFlags(
    command
      .option('--location <name>', 'read the copies in this KmBackupLocation instead of the archives')
      .option(
        '--identity-secret <name>',
        'Secret whose key "identity" decrypts the copies (default: that of spec.drill.from of the schedule)',
      ),
  );
}

/** Reads the copies of a schedule in a pod, which is gone afterwards. */
export async function readingCopies<T>(
  cluster: Cluster,
  schedule: KmBackupSchedule,
  location: string,
  { image, identitySecret }: CopyFlags,
  { signal }: PluginContext,
  use: (reader: CopyReader) => Promise<T>,
): Promise<T> {
  const from = schedule.spec.drill?.from;
  const ofDrill = from?.locationRef.name === location ? from.identitySecretRef?.name : undefined;
  const place = { location, identitySecret: identitySecret ?? ofDrill };
  using ticker = startTicker();
  return readCopies(cluster, schedule, place, { image, signal, onWait: ticker.show }, (reader) => {
    ticker[Symbol.dispose]();
    return use(reader);
  });
}

/** Reads the archives of these backups in a pod, which is gone afterwards. */
export async function reading<T>(
  cluster: Cluster,
  backups: readonly KmBackup[],
  flags: ReadFlags,
  { signal }: PluginContext,
  use: (reader: Reader) => Promise<T>,
): Promise<T> {
  using ticker = startTicker();
  return readArchives(cluster, backups, { image: flags.image, signal, onWait: ticker.show }, (reader) => {
    ticker[Symbol.dispose]();
    return use(reader);
  });
}

/** Runs `km-backup` in the pod, and passes on what it prints, and its exit code. */
export async function passOn(
  reader: Pick<Reader, 'run'>,
  args: readonly string[],
  context: PluginContext,
  stdout: Streams['stdout'] = (chunk) => void process.stdout.write(chunk),
): Promise<void> {
  using words = new Words();
  const code = await reader.run([KM_BACKUP, ...args], { stdout, stderr: words.write });
  context.exitCode = exitCodeFor(code);
}

const KNOWN = new Set<number>(Object.values(ExitCode));

/** That of km-backup; of another program, a failure. */
function exitCodeFor(code: number): ExitCode {
  return KNOWN.has(code) ? (code as ExitCode) : ExitCode.failure;
}

/** Standard error of the pod, line by line and escaped. */
class Words implements Disposable {
  #pending = '';
  readonly write = (chunk: Buffer): void => {
    const lines = (this.#pending + chunk.toString('utf8')).split('\n');
    this.#pending = lines.pop() ?? '';
    for (const line of lines) say(line);
  };
  [Symbol.dispose](): void {
    if (this.#pending !== '') say(this.#pending);
  }
}

function say(line: string): void {
  process.stderr.write(`${printable(line, Number.POSITIVE_INFINITY)}\n`);
}

/** @throws {FleetError} when the program failed; what it said has been printed. */
export function refuseFailure(code: number, what: string): void {
  if (code !== 0) throw new FleetError('Failed', `${what} failed with exit status ${code}.`);
}
