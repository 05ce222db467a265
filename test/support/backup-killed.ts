import { type RunOptions, runBackup } from '../../src/archive/create/run-backup.ts';

/*
 * Runs one backup and kills this process (SIGKILL) at the failpoint of the given number. Without a number it runs to
 * the end and prints the names of the failpoints.
 */
const [source, destination, time, number] = process.argv.slice(2) as [
  string,
  string,
  string,
  string | undefined,
];
const steps: string[] = [];
const options: RunOptions = {
  source,
  destination,
  compression: 'gzip',
  level: 1,
  exclude: [],
  include: [],
  full: false,
  allowEmpty: false,
  lockWaitMs: 0,
  retention: { limit: 2 },
  now: () => new Date(time),
  threads: 1,
  failpoint: (name) => {
    steps.push(name);
    if (steps.length === Number(number)) process.kill(process.pid, 'SIGKILL');
  },
};
const { exitCode } = await runBackup(options);
console.log(JSON.stringify(steps));
process.exitCode = exitCode;
