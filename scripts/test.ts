/**
 * `npm test`: all checks, from types to end-to-end. Each stage runs even if an earlier one failed. The soak mostly waits
 * for scheduled times, so it runs during the end-to-end tests and is printed after them.
 * `--only unit,integration` runs some stages. The last line is `N passed, N failed`, for machines to read.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chosen, commandLine } from './command-line.ts';
import { type Counts, closingLine, countsOfReport, countsOfStage, failuresOfReport } from './test-counts.ts';

const root = join(import.meta.dirname, '..');
const reports = mkdtempSync(join(tmpdir(), 'km-test-'));
process.on('exit', () => rmSync(reports, { recursive: true, force: true }));

interface Stage {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  /** File for its counts in vitest's JSON format; absent if the stage only passes or fails. */
  readonly report?: string;
  /** Runs at the same time as the stage before it. */
  readonly beside?: boolean;
}

function vitest(project: string): Stage {
  const report = join(reports, `${project}.json`);
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
  return { name: project, command: ['vitest', 'run', '--project', project, ...reporters], report };
}

function soak(minutes: number): Stage {
  const report = join(reports, 'soak.json');
  const command = ['node', 'test/soak/main.ts', '--minutes', `${minutes}`, '--report', report] as const;
  return { name: 'soak', command, report, beside: true };
}

const STAGES: readonly Stage[] = [
  { name: 'types', command: ['tsc', '--noEmit'] },
  { name: 'lint', command: ['biome', 'check', '--error-on-warnings', '.'] },
  { name: 'generated', command: ['node', 'scripts/generate.ts', '--check'] },
  vitest('unit'),
  vitest('integration'),
  vitest('e2e'),
  soak(2),
];

const running = new Set<ChildProcess>();
let interrupted = false;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    interrupted = true;
    // A terminal sends SIGINT to the child too; a second one would end it without its clean-up.
    if (signal !== 'SIGINT') for (const child of running) child.kill(signal);
  });
}

function run(
  [command, ...args]: readonly [string, ...string[]],
  output: 'inherit' | number,
): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      stdio: ['ignore', output, output],
      env: { ...process.env, PATH: `${join(root, 'node_modules/.bin')}:${process.env['PATH']}` },
    });
    running.add(child);
    child.on('error', (error) => {
      console.error(`${command}: ${error.message}`);
      resolve(false);
    });
    child.on('close', (code) => {
      running.delete(child);
      resolve(code === 0);
    });
  });
}

function reportOf({ report }: Stage): unknown {
  try {
    return report === undefined ? undefined : JSON.parse(readFileSync(report, 'utf8'));
  } catch {
    return undefined;
  }
}

const chosenStages = commandLine({ only: { type: 'string' } }, ({ only }) => {
  if (only === undefined) return STAGES;
  const names = chosen(
    '--only',
    only,
    STAGES.map(({ name }) => name),
  );
  return STAGES.filter(({ name }) => names.includes(name));
});

interface Ended {
  readonly stage: Stage;
  readonly ok: boolean;
  readonly seconds: number;
}

async function runStage(stage: Stage, output: 'inherit' | number): Promise<Ended> {
  const start = performance.now();
  const ok = await run(stage.command, output);
  return { stage, ok, seconds: (performance.now() - start) / 1000 };
}

const title = ({ name, command }: Stage) => `\n=== ${name}: ${command.slice(0, 4).join(' ')}`;

/** Runs stages concurrently. The output of all but the first is printed at the end. */
async function runTogether([first, ...others]: readonly [Stage, ...Stage[]]): Promise<Ended[]> {
  console.log(title(first));
  const started = others.map((stage) => {
    const log = join(reports, `${stage.name}.log`);
    const file = openSync(log, 'w');
    return { log, file, ended: runStage(stage, file) };
  });
  const all = [await runStage(first, 'inherit')];
  for (const { log, file, ended } of started) {
    const one = await ended;
    closeSync(file);
    console.log(`${title(one.stage)}\n${readFileSync(log, 'utf8')}`);
    all.push(one);
  }
  return all;
}

function groups(stages: readonly Stage[]): [Stage, ...Stage[]][] {
  const grouped: [Stage, ...Stage[]][] = [];
  for (const stage of stages) {
    const before = grouped.at(-1);
    if (stage.beside && before) before.push(stage);
    else grouped.push([stage]);
  }
  return grouped;
}

const total: Counts = { passed: 0, failed: 0, skipped: 0 };
const lines: string[] = [];
for (const group of groups(chosenStages)) {
  if (interrupted) break;
  for (const { stage, ok, seconds } of await runTogether(group)) {
    const report = reportOf(stage);
    const counts = countsOfStage(ok, countsOfReport(report));
    for (const key of ['passed', 'failed', 'skipped'] as const) total[key] += counts[key];
    const detail = stage.report === undefined ? '' : `  ${closingLine(counts)}`;
    lines.push(
      `${counts.failed === 0 ? 'ok    ' : 'FAILED'}  ${stage.name.padEnd(12)} ${seconds.toFixed(1).padStart(7)} s${detail}`,
      // Machines keep the end of what was printed.
      ...failuresOfReport(report).map((failure) => `        ${failure}`),
    );
  }
}

if (interrupted) {
  total.failed += 1;
  lines.push('FAILED  interrupted');
}
console.log(`\n=== all\n${lines.join('\n')}\n\n${closingLine(total)}`);
process.exitCode = total.failed === 0 ? 0 : 1;
