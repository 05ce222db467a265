/**
 * `npm test`: every check there is, from types to end-to-end. Each stage runs even if one before it failed.
 * `--only unit,integration` runs some stages. The last line is `N passed, N failed`, as machines read it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Counts, closingLine, countsOfReport, countsOfStage } from './test-counts.ts';

const root = join(import.meta.dirname, '..');
const reports = mkdtempSync(join(tmpdir(), 'km-test-'));
process.on('exit', () => rmSync(reports, { recursive: true, force: true }));

interface Stage {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  /** Where vitest writes its JSON report; absent for a stage that only passes or fails. */
  readonly report?: string;
}

function vitest(project: string): Stage {
  const report = join(reports, `${project}.json`);
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
  return { name: project, command: ['vitest', 'run', '--project', project, ...reporters], report };
}

const STAGES: readonly Stage[] = [
  { name: 'types', command: ['tsc', '--noEmit'] },
  { name: 'lint', command: ['biome', 'check', '--error-on-warnings', '.'] },
  { name: 'generated', command: ['node', 'scripts/generate.ts', '--check'] },
  vitest('unit'),
  vitest('integration'),
  vitest('e2e'),
];

let running: ChildProcess | undefined;
let interrupted = false;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    interrupted = true;
    // A terminal sends SIGINT to the child too; twice would end it without its clean-up.
    if (signal !== 'SIGINT') running?.kill(signal);
  });
}

function run([command, ...args]: readonly [string, ...string[]]): Promise<boolean> {
  return new Promise((resolve) => {
    running = spawn(command, args, {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, PATH: `${join(root, 'node_modules/.bin')}:${process.env['PATH']}` },
    });
    running.on('error', (error) => {
      console.error(`${command}: ${error.message}`);
      resolve(false);
    });
    running.on('close', (code) => resolve(code === 0));
  });
}

function reportOf(path: string): Counts | undefined {
  try {
    return countsOfReport(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return undefined;
  }
}

function chosenStages(): readonly Stage[] {
  const { values } = parseArgs({ options: { only: { type: 'string' } } });
  if (values.only === undefined) return STAGES;
  const names = values.only.split(',').map((name) => name.trim());
  const unknown = names.filter((name) => !STAGES.some((stage) => stage.name === name));
  if (unknown.length > 0) {
    console.error(
      `No such stage: ${unknown.join(', ')}. There are: ${STAGES.map(({ name }) => name).join(', ')}.`,
    );
    process.exit(2);
  }
  return STAGES.filter(({ name }) => names.includes(name));
}

const total: Counts = { passed: 0, failed: 0, skipped: 0 };
const lines: string[] = [];
for (const stage of chosenStages()) {
  if (interrupted) break;
  console.log(`\n=== ${stage.name}: ${stage.command.slice(0, 4).join(' ')}`);
  const start = performance.now();
  const ok = await run(stage.command);
  const seconds = (performance.now() - start) / 1000;
  const counts = countsOfStage(ok, stage.report === undefined ? undefined : reportOf(stage.report));
  for (const key of ['passed', 'failed', 'skipped'] as const) total[key] += counts[key];
  const detail = stage.report === undefined ? '' : `  ${closingLine(counts)}`;
  lines.push(
    `${counts.failed === 0 ? 'ok    ' : 'FAILED'}  ${stage.name.padEnd(12)} ${seconds.toFixed(1).padStart(7)} s${detail}`,
  );
}

if (interrupted) {
  total.failed += 1;
  lines.push('FAILED  interrupted');
}
console.log(`\n=== all\n${lines.join('\n')}\n\n${closingLine(total)}`);
process.exitCode = total.failed === 0 ? 0 : 1;
