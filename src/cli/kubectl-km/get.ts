import { closeSync, existsSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { Command } from 'commander';
import { ExitCode } from '../../api/exit-codes.ts';
import { chosenBackup } from '../../fleet/archives.ts';
import { FleetError } from '../../fleet/errors.ts';
import { KM_BACKUP, type Reader } from '../../fleet/read-archives.ts';
import { formatBytes } from '../../log/units.ts';
import { print } from '../km-backup/output.ts';
import { connect, type PluginContext } from './context.ts';
import { addReadFlags, passOn, type ReadFlags, reading, refuseFailure } from './reading.ts';

interface Flags extends ReadFlags {
  readonly output: string;
  readonly tar: boolean;
}

export function command(context: PluginContext): Command {
  const get = new Command('get')
    .description('bring one file of an archive to this machine, or with --tar a folder')
    .argument('<backup>', 'a backup, or a schedule for its newest archive')
    .argument('<path>', 'path within the archive')
    .requiredOption('-o, --output <file>', 'file to write; it must not exist')
    .option('--tar', 'write a tar of the path and everything below it', false);
  return addReadFlags(get).action(async (name: string, path: string, flags: Flags) => {
    if (existsSync(flags.output))
      throw new FleetError(
        'Usage',
        `${flags.output} exists already. Nothing is overwritten: name another file.`,
      );
    const { cluster, namespace } = await connect(flags, context);
    const backup = await chosenBackup(cluster, { namespace, name });
    await reading(cluster, [backup], flags, context, async (reader) => {
      using file = new PartialFile(flags.output);
      if (flags.tar) await tar(reader, path, file.write, context);
      else await passOn(reader, ['cat', reader.archives[0]!, '--', path], context, file.write);
      if (context.exitCode !== ExitCode.ok) return;
      file.finish();
      print(`${flags.output}: ${formatBytes(file.size)} of ${backup.metadata.name}`);
    });
  });
}

/** Unpacks in the pod, then packs what was unpacked. */
async function tar(
  reader: Reader,
  path: string,
  write: (chunk: Buffer) => void,
  context: PluginContext,
): Promise<void> {
  const archive = reader.archives[0]!;
  const quiet = () => {};
  await passOn(
    reader,
    ['extract', '--progress=none', '-C', reader.work, archive, '--', path],
    context,
    quiet,
  );
  if (context.exitCode !== ExitCode.ok) return;
  const code = await reader.run(['tar', '-C', reader.work, '-cf', '-', '.'], {
    stdout: write,
    stderr: quiet,
  });
  refuseFailure(code, `${KM_BACKUP}: packing ${path}`);
}

/** A file that has its name only once it is complete. */
class PartialFile implements Disposable {
  readonly #path: string;
  readonly #temporary: string;
  readonly #fd: number;
  #open = true;
  size = 0;

  constructor(path: string) {
    this.#path = path;
    this.#temporary = `${path}.${process.pid}.part`;
    this.#fd = openSync(this.#temporary, 'wx', 0o600);
  }

  readonly write = (chunk: Buffer): void => {
    for (let done = 0; done < chunk.length; ) done += writeSync(this.#fd, chunk, done);
    this.size += chunk.length;
  };

  finish(): void {
    this.#close();
    renameSync(this.#temporary, this.#path);
  }

  #close(): void {
    if (this.#open) closeSync(this.#fd);
    this.#open = false;
  }

  [Symbol.dispose](): void {
    this.#close();
    rmSync(this.#temporary, { force: true });
  }
}
