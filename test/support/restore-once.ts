import { commitRestore, resumeRestore, rollbackRestore } from '../../src/archive/restore/finish.ts';
import { restore } from '../../src/archive/restore/restore.ts';

/*
 * One run of restore in a process of its own, which kills itself by SIGKILL right before its Nth change on
 * disk. Prints the names of the steps it reached. Arguments: N, what to do, target, and for a restore the
 * archive, the kind of swap, and what becomes of the old state.
 */
const [kill = '', action, target = '', archive = '', swap, oldState] = process.argv.slice(2);
let reached = 0;
const failpoint = (name: string) => {
  process.stdout.write(`${name}\n`);
  if (reached++ === Number(kill)) process.kill(process.pid, 'SIGKILL');
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
      ...(swap === 'exchange' || swap === 'rename' || swap === 'children' ? { swap } : {}),
    });
    break;
  case 'rollback':
    await rollbackRestore(target, { failpoint });
    break;
  case 'commit':
    await commitRestore(target, { failpoint });
    break;
  case 'resume':
    await resumeRestore(target, { failpoint });
    break;
  default:
    throw new Error(`no action ${action}`);
}
