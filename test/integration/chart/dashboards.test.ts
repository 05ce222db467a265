/** The arithmetic of the dashboards, by promtool. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { metrics } from '../../../scripts/dashboards/panels.ts';
import { run } from '../../cluster/process.ts';
import { ensurePrometheus } from '../../support/prometheus.ts';

const GROWN = metrics('schedule="nightly"').grown('runs_total', 'schedule', '1h');
const series = (pod: string, values: string) => ({
  series: `runs_total{schedule="nightly",pod="${pod}"}`,
  values,
});

// A scrape a minute. At minute 120 the range is the hour from 60 on.
const CASES: readonly [what: string, input: readonly object[], grown: number][] = [
  ['what came between the last scrape before the hour and the first in it', [series('a', '3x60 4x120')], 1],
  ['nothing', [series('a', '3x180')], 0],
  ['each of several', [series('a', '3x70 4x20 6x100')], 3],
  ['all of a schedule that is new in the hour', [series('a', '_x90 0x10 2x100')], 2],
  ['what grew across a change of the leader', [series('a', '3x80'), series('b', '_x82 4x100')], 1],
  [
    'nothing if no operator ran for hours: not all that was ever counted',
    [series('a', '7x2 _x110 7x100')],
    0,
  ],
  ['nothing if the schedule was made again', [series('a', '7x90 0x100')], 0],
];

it.each(CASES)('a counter of a dashboard grows by %s', async (_, input_series, grown) => {
  const folder = await mkdtemp(join(tmpdir(), 'km-dashboards-'));
  try {
    const exp_samples = [{ labels: '{schedule="nightly"}', value: grown }];
    const test = {
      interval: '1m',
      input_series,
      promql_expr_test: [{ expr: GROWN, eval_time: '2h', exp_samples }],
    };
    await writeFile(join(folder, 'test.yaml'), JSON.stringify({ tests: [test] }));
    const { promtool } = await ensurePrometheus();
    const { stdout } = await run(promtool, ['test', 'rules', join(folder, 'test.yaml')]);
    expect(stdout).toContain('SUCCESS');
  } finally {
    await rm(folder, { recursive: true });
  }
});
