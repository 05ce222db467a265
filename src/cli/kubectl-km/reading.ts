/** What commands that read archives share: the pod, what it says, and how it ends. */
import type { Command } from 'commander';
import type { KmBackup } from '../../api/backup.ts';
import { ExitCode } from '../../api/exit-codes.ts';
import type { Cluster } from '../../fleet/cluster.ts';
import { FleetError } from '../../fleet/errors.ts';
import { KM_BACKUP, type Reader, readArchives, type Streams } from '../../fleet/read-archives.ts';
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
    ticker.clear();
    ticker[Symbol.dispose]();
    return use(reader);
  });
}

/** Runs `km-backup` in the pod, and passes on what it prints, and its exit code. */
export async function passOn(
  reader: Reader,
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
