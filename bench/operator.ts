/**
 * `npm run bench:operator`: compares the operator with the CronJob controller, on a separate control plane.
 * `--quick` uses small sizes, `--only lag,requests,scale` runs some parts, `--json` prints the raw figures,
 * `--write` updates docs/benchmarks-operator.md, `--cpu-prof` writes profiles of the operator.
 */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { buildPrograms } from '../scripts/build.ts';
import { chosen, commandLine } from '../scripts/command-line.ts';
import { elapsedLog } from '../test/cluster/index.ts';
import {
  type Context,
  cronJobLag,
  requestsPerRun,
  type ScaleSizes,
  scale,
  scheduleLag,
} from './operator/cases.ts';
import { type Figures, report } from './operator/report.ts';

const PARTS = ['lag', 'requests', 'scale'] as const;
const values = commandLine(
  {
    json: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    only: { type: 'string', default: PARTS.join(',') },
    'cpu-prof': { type: 'string' },
  },
  (flags) => ({ ...flags, only: chosen('--only', flags.only, PARTS) }),
);
const full: ScaleSizes = {
  steps: [0, 900, 9_900],
  due: 100,
  hourly: 10_000,
  minutes: 3,
  backupsEach: 7,
  idleSeconds: 60,
};
const quick: ScaleSizes = { ...full, steps: [0, 400, 900], hourly: 1_000, minutes: 2, idleSeconds: 20 };
const sizes = values.quick ? quick : full;
const dueAtOnce = values.quick ? 200 : 1_000;

const logFile = join(mkdtempSync(join(tmpdir(), 'km-bench-')), 'operator.log');
const profile = values['cpu-prof'];
const context: Context = {
  log: elapsedLog(process.stderr),
  logFile,
  nodeOptions: profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`],
};
context.log(`the operator's log: ${logFile}`);
await buildPrograms();

const figures: Figures = {
  at: new Date().toISOString(),
  machine: `${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'}), ${Math.round(totalmem() / 2 ** 30)} GiB`,
  quick: values.quick,
  dueAtOnce,
};
const file = join(import.meta.dirname, '../docs/benchmarks-operator.md');
/** The text below the tables. */
const limits = join(import.meta.dirname, 'operator/limits.md');

/** Prints each part as soon as it is measured. If one fails, the others are still measured. */
async function part(name: (typeof PARTS)[number], measure: () => Promise<void>): Promise<void> {
  if (!values.only.includes(name)) return;
  try {
    await measure();
  } catch (error) {
    process.exitCode = 1;
    context.log(`${name} failed: ${error instanceof Error ? error.stack : error}`);
  }
  if (values.write) writeFileSync(file, `${report(figures)}\n${readFileSync(limits, 'utf8')}`);
}

await part('lag', async () => {
  figures.ours = await scheduleLag(dueAtOnce, context);
  figures.tuned = await cronJobLag('tuned', dueAtOnce, context);
  figures.shipped = await cronJobLag('shipped', dueAtOnce, context);
});
await part('requests', async () => {
  figures.requests = await requestsPerRun(values.quick ? 20 : 100, context);
});
await part('scale', async () => {
  figures.scale = await scale(sizes, context);
});

console.log(values.json ? JSON.stringify(figures, null, 2) : report(figures));
// An open connection must not keep an unattended run alive.
process.exit();
