import {
  commitRestore,
  discardRestore,
  resumeRestore,
  rollbackRestore,
} from '../../src/archive/restore/finish.ts';
import { restore } from '../../src/archive/restore/restore.ts';

/*
 * One run of restore in a separate process, which kills itself (SIGKILL, or the signal in RESTORE_SIGNAL) right before
 * its Nth change on disk. Prints the names of the steps it reached. Arguments: N, what to do, target, and for a restore the
 * archive, the kind of swap, what becomes of the old state, the id of the request, and `stage` to end before the
 * swap. For other actions the id takes the archive's place.
 */
const [kill = '', action, target = '', archive = '', swap, oldState, id, stage] = process.argv.slice(2);
/** Of a restore: only these. */
const paths = process.env['RESTORE_PATHS']?.split(':') ?? [];
const signal = (process.env['RESTORE_SIGNAL'] ?? 'SIGKILL') as NodeJS.Signals;
const request = archive === '' ? {} : { id: archive };
let reached = 0;
const failpoint = (name: string) => {
  process.stdout.write(`${name}\n`);
  if (reached++ === Number(kill)) process.kill(process.pid, signal);
};

switch (action) {
  case 'restore':
    await restore({
      archive,
      target,
      policy: { preserveSetid: false, skipDevices: false },
      oldState: oldState === 'remove' ? 'remove' : 'keep',
      threads: 1,
      now: () => new Date(),
      failpoint,
      ...(id === undefined ? {} : { id }),
      stageOnly: stage === 'stage',
      paths,
      ...(swap === 'exchange' || swap === 'rename' || swap === 'children' ? { swap } : {}),
    });
    break;
  case 'rollback':
    await rollbackRestore(target, { failpoint, ...request });
    break;
  case 'commit':
    await commitRestore(target, { failpoint, ...request });
    break;
  case 'resume':
    await resumeRestore(target, { failpoint, ...request });
    break;
  case 'discard':
    await discardRestore(target, { failpoint, ...request });
    break;
  default:
    throw new Error(`no action ${action}`);
}
