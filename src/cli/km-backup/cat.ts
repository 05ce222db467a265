import { writeSync } from 'node:fs';
import { Command } from 'commander';
import { catEntry } from '../../archive/index.ts';
import { codeOf } from '../../posix/system-error.ts';
import type { CliContext } from './context.ts';
import { addAsOfFlag, addCopyFlags, type CopyFlags, isLocation, LOCATION_HELP } from './location-flags.ts';

const STDOUT = 1;

export function command(context: CliContext): Command {
  const { signal } = context;
  const cat = new Command('cat')
    .description('print one file of an archive, as it is, reading only the members that hold it')
    .argument('<archive>', `path of the archive, or ${LOCATION_HELP}`)
    .argument('<path>', 'path of the file within the archive');
  return addAsOfFlag(addCopyFlags(cat)).action(async (given: string, path: string, flags: CopyFlags) => {
    using view = isLocation(given)
      ? await (await import('./local-view.ts')).viewAt(given, [path], flags, context)
      : undefined;
    const reader = new AbortController();
    try {
      await catEntry(view?.archive ?? given, path, {
        write: (chunk) => {
          if (!printed(chunk)) reader.abort();
        },
        signal: AbortSignal.any([signal, reader.signal]),
      });
    } catch (error) {
      // Whoever closed the pipe has read enough.
      if (!reader.signal.aborted) throw error;
    }
  });
}

/** Writes at once, so that memory does not grow with the file. False once nobody reads any longer. */
function printed(chunk: Buffer): boolean {
  for (let done = 0; done < chunk.length; ) {
    try {
      done += writeSync(STDOUT, chunk, done);
    } catch (error) {
      if (codeOf(error) === 'EPIPE') return false;
      // A pipe that another process made non-blocking, and that is full.
      if (codeOf(error) !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
  return true;
}
