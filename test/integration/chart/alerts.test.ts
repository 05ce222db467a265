import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { run } from '../../cluster/process.ts';
import { ensurePrometheus } from '../../support/prometheus.ts';
import { renderChart } from './render.ts';

const CASES = 'alerts.promtool.yaml';

interface Rules {
  readonly groups: readonly { readonly rules: readonly { readonly alert: string }[] }[];
}

let folder: string;
let promtool: string;
let rules: Rules;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'km-alerts-'));
  ({ promtool } = await ensurePrometheus());
  const [rule] = (await renderChart(['prometheusRule.enabled=true'])).filter(
    ({ kind }) => kind === 'PrometheusRule',
  );
  rules = rule!.spec as unknown as Rules;
  await writeFile(join(folder, 'rules.yaml'), stringify(rules));
  await copyFile(join(import.meta.dirname, CASES), join(folder, CASES));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

describe('the alerts of the chart', () => {
  it('are rules that Prometheus accepts', async () => {
    await expect(run(promtool, ['check', 'rules', join(folder, 'rules.yaml')])).resolves.toBeDefined();
  });

  it('fire when they should, and only then', async () => {
    await expect(run(promtool, ['test', 'rules', CASES], { cwd: folder })).resolves.toBeDefined();
  });

  it('each have a case in which they fire', async () => {
    const cases = await readFile(join(folder, CASES), 'utf8');
    const alerts = rules.groups.flatMap((group) => group.rules.map(({ alert }) => alert));
    expect(alerts.length).toBeGreaterThan(0);
    for (const alert of alerts) expect(cases).toMatch(new RegExp(`alertname: ${alert}\\n`));
  });
});
