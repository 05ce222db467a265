/*
 * `npm run bench:tools`: what people wait for at a terminal. Trees of many files: `km-backup diff` and `history`, beside
 * `restic diff` and `find`, and `kopia diff`, on the same states of a tree. A cluster with many schedules: `kubectl km
 * status`, beside `kubectl get`. All programs run as installed.
 * `--only`: `tree`, `schedules` (default: both). `--entries`: files of the tree (default 1000000). `--schedules`: number of
 * schedules (default 1000). `--repetitions`: turns, of which the median counts (default 3). `--state`: a folder that keeps
 * the tree's backups and the results, so that a later call only measures; `--prepare` makes the backups and ends.
 * `--write`: updates docs/benchmarks-tools.md, with the results that the folder has.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { buildPrograms } from '../scripts/build.ts';
import { commandLine, numberOf } from '../scripts/command-line.ts';
import { elapsedLog } from '../test/cluster/index.ts';
import { PARTS, type Part, type Result, toMarkdown, toText } from './tools/report.ts';
import { measureSchedules } from './tools/schedules.ts';
import { measureTree, prepareTree } from './tools/tree.ts';

const options = commandLine(
  {
    only: { type: 'string', default: PARTS.join(',') },
    entries: { type: 'string', default: '1000000' },
    schedules: { type: 'string', default: '1000' },
    repetitions: { type: 'string', default: '3' },
    state: { type: 'string' },
    prepare: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
  (flags) => ({
    ...flags,
    only: PARTS.filter((part) => flags.only.split(',').includes(part)),
    entries: numberOf('--entries', flags.entries, { least: 1000, whole: true }),
    schedules: numberOf('--schedules', flags.schedules, { least: 100, whole: true }),
    repetitions: numberOf('--repetitions', flags.repetitions, { least: 1, whole: true }),
  }),
);

const log = elapsedLog(process.stderr);
const checkout = path.join(import.meta.dirname, '..');
const state = options.state ?? fs.mkdtempSync(path.join(os.tmpdir(), 'km-bench-tools-'));
const file = (part: Part) => path.join(state, `${part}.json`);

const measureParts: Readonly<Record<Part, () => Promise<Omit<Result, 'at' | 'machine'>>>> = {
  tree: () => measureTree(state, options),
  schedules: () => measureSchedules(options, log),
};

try {
  fs.mkdirSync(state, { recursive: true });
  await buildPrograms();
  if (options.only.includes('tree')) await prepareTree(state, options, log);
  if (!options.prepare) {
    for (const part of options.only) {
      const machine = `${os.cpus().length} cores, ${os.cpus()[0]?.model ?? ''}, Node.js ${process.version}`;
      const result: Result = { at: new Date().toISOString(), machine, ...(await measureParts[part]()) };
      fs.writeFileSync(file(part), `${JSON.stringify(result, null, 2)}\n`);
      process.stdout.write(toText(result));
    }
    if (options.write) {
      const results = PARTS.filter((part) => fs.existsSync(file(part))).map(
        (part): Result => JSON.parse(fs.readFileSync(file(part), 'utf8')),
      );
      const limits = fs.readFileSync(path.join(checkout, 'bench/tools/limits.md'), 'utf8');
      fs.writeFileSync(path.join(checkout, 'docs/benchmarks-tools.md'), toMarkdown(results, limits));
    }
  }
} finally {
  if (options.state === undefined) fs.rmSync(state, { recursive: true, force: true });
}
