import { type Stats, statSync } from 'node:fs';
import path from 'node:path';
import { ArchiveError, levels, writeError } from '../../archive/index.ts';
import { defaultDestination, destinationOf, sourceOf } from '../../standalone/variables.ts';
import { allowEmptyOf, type CliContext } from './context.ts';
import { backUp } from './create.ts';

/** `km-backup [OUTPUT]`: one archive of what the environment names. */
export async function runBare(output: string | undefined, context: CliContext): Promise<void> {
  const { env } = context;
  if (output !== undefined && !/[/.]/.test(output)) {
    throw new ArchiveError(
      'Usage',
      `"${output}" is not a command (km-backup --help lists them). To write a file of that name, pass ./${output}.`,
    );
  }
  const source = sourceOf(env);
  if (source === undefined) throw new ArchiveError('Usage', 'The source is missing: set KM_BACKUP_SOURCE.');
  const destination =
    output === undefined
      ? (destinationOf(env) ?? defaultDestination(source))
      : path.dirname(path.resolve(output));
  await backUp(
    {
      source,
      destination,
      outputName: output === undefined ? undefined : outputName(output),
      compression: 'gzip',
      level: levels.gzip.standard,
      exclude: [],
      include: [],
      full: false,
      allowEmpty: allowEmptyOf(context),
      lockWaitMs: 0,
      retention: undefined,
      signal: context.signal,
      now: () => new Date(),
    },
    { resultFile: undefined, progress: 'auto', reader: 'environment' },
    context,
  );
}

/**
 * The file name of OUTPUT.
 * @throws {ArchiveError} Usage when it is not a file that a run may write.
 */
function outputName(output: string): string {
  let stats: Stats | undefined;
  try {
    stats = statSync(output, { throwIfNoEntry: false });
  } catch (error) {
    throw writeError(error, output);
  }
  if (stats?.isDirectory() || output.endsWith('/')) {
    throw new ArchiveError(
      'Usage',
      `${output} is a directory. Name the file to write, or set KM_BACKUP_DEST to write a new name into that directory.`,
    );
  }
  if (stats && !stats.isFile()) throw new ArchiveError('Usage', `${output} is not a regular file.`);
  return path.basename(output);
}
