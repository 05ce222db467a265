/** The playbook's manual backup: the tool `backup`, which runs what the scheduler would run. */
import { z } from 'zod';
import { RUN_REASONS, type RunReason } from '../../api/reasons.ts';
import { RunResult } from '../../api/run-result.ts';
import { guardWith, levels, type Run, runBackup } from '../../archive/index.ts';
import { runScriptBackup } from '../../standalone/script-run.ts';
import { lines } from '../text.ts';
import { type Call, defineTool, type Tool } from '../tool.ts';
import { type LocalSettings, requiredSource } from './settings.ts';

export function backupTool(settings: LocalSettings): Tool {
  return defineTool({
    name: 'backup',
    title: 'Run a backup now',
    description:
      'Makes one archive of the source in the destination, as a scheduled run does (with KM_BACKUP_SCRIPT, if it is set), and removes nothing. Answers "Backup written to PATH".',
    effect: 'adds',
    input: z.strictObject({}),
    output: RunResult,
    run: async (_, call) => {
      const { result } = await (settings.script === undefined
        ? builtIn(settings, call)
        : script(settings, settings.script, call));
      return {
        data: result,
        text: wordsOf(result),
        failed: result.outcome === 'Failed' || result.outcome === 'Skipped',
      };
    },
  });
}

function builtIn(settings: LocalSettings, { signal, progress }: Call): Promise<Run> {
  const { destination, allowEmpty, guard, now } = settings;
  return runBackup({
    source: requiredSource(settings),
    destination,
    compression: 'gzip',
    level: levels.gzip.standard,
    exclude: [],
    include: [],
    full: false,
    allowEmpty,
    lockWaitMs: 0,
    retention: undefined,
    guard: guard && guardWith(guard),
    signal,
    now,
    progress: ({ sourceBytes }, expectedBytes) =>
      progress({ done: sourceBytes, total: expectedBytes, message: 'packing' }),
  });
}

function script(settings: LocalSettings, program: string, { signal, progress }: Call): Promise<Run> {
  const { destination, env, now } = settings;
  let done = 0;
  return runScriptBackup({
    script: program,
    source: requiredSource(settings),
    destination,
    series: undefined,
    retention: undefined,
    lockWaitMs: 0,
    env,
    signal,
    now,
    onLine: () => progress({ done: ++done, message: 'the script wrote a line' }),
  });
}

/** The last line is that of the playbook's script. */
function wordsOf({ outcome, reason, message, warnings, notes, archive }: RunResult): string {
  const advice = (RUN_REASONS as Partial<Record<string, { environment?: string }>>)[reason as RunReason];
  return lines(
    warnings.samples.map((sample) => `warning: ${sample}`),
    outcome === 'Succeeded' ? notes?.map((note) => `warning: ${note}`) : undefined,
    outcome === 'Succeeded' ? undefined : `${reason}: ${message}`,
    archive ? undefined : advice?.environment?.replaceAll('`', ''),
    archive && `Backup written to ${archive.path}`,
  );
}
