import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { type Cadence, cadenceOf } from '../../../src/schedule/index.ts';
import { run } from '../../cluster/process.ts';
import { ensurePrometheus } from '../../support/prometheus.ts';
import { EXPECTATION_GROUP, promtoolCase, type Scenario, STEP_MINUTES } from './alert-scenario.ts';
import { renderChart } from './render.ts';

const VALUES = ['prometheusRule.enabled=true', 'prometheusRule.runbookBaseUrl=https://example.com/alerts'];
const PAGES = join(import.meta.dirname, '../../../docs/alerts');
const CASES = 'alerts.promtool.yaml';

interface Rule {
  readonly alert: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

interface Rules {
  readonly groups: readonly { readonly rules: readonly Rule[] }[];
}

const ms = (iso: string) => Date.parse(iso);

function cadence(cron: string, timeZone = 'Etc/UTC'): Cadence {
  const parsed = cadenceOf({ cron, timeZone, intervalMinutes: 720, anchorMs: 0 });
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.cadence;
}

const span = (from: string, to: string) => ({ fromMs: ms(from), toMs: ms(to) });
const life = (from: string, to: string) => ({ startMs: ms(from), endMs: ms(to) });
const never = () => false;

// A success is due one failed run later (within a day), plus a run of a minute, plus 15 minutes. The alert waits
// 5 more, and everything is looked at every 5 minutes.
const scenarios: Scenario[] = [
  {
    name: 'office hours: silent through nights and a weekend',
    cadence: cadence('*/15 8-18 * * 1-5'),
    ...life('2026-05-07T07:00Z', '2026-05-12T12:00Z'),
  },
  {
    name: 'office hours: overdue on Monday morning if nothing succeeds from then on',
    cadence: cadence('*/15 8-18 * * 1-5'),
    ...life('2026-05-08T07:00Z', '2026-05-11T12:00Z'),
    succeeds: (slot) => slot < ms('2026-05-11T00:00Z') || slot >= ms('2026-05-11T10:00Z'),
    fires: { KmBackupOverdue: [span('2026-05-11T08:40Z', '2026-05-11T10:05Z')] },
  },
  {
    name: 'daily, while clocks go forward and back',
    cadence: cadence('30 2 * * *', 'Europe/Berlin'),
    ...life('2026-03-27T12:00Z', '2026-04-01T12:00Z'),
  },
  {
    name: 'daily, created before clocks go back, never succeeds',
    cadence: cadence('30 2 * * *', 'Europe/Berlin'),
    ...life('2026-10-24T12:00Z', '2026-10-27T00:00Z'),
    succeeds: never,
    fires: { KmBackupNeverSucceeded: [span('2026-10-26T00:55Z', '2026-10-27T00:01Z')] },
  },
  {
    name: 'weekly, never succeeds: a day after its first time',
    cadence: cadence('0 3 * * 0'),
    ...life('2026-05-06T12:00Z', '2026-05-12T00:00Z'),
    succeeds: never,
    fires: { KmBackupNeverSucceeded: [span('2026-05-11T03:25Z', '2026-05-12T00:01Z')] },
  },
  {
    name: 'weekly, succeeds: silent',
    cadence: cadence('0 3 * * 0'),
    ...life('2026-05-06T12:00Z', '2026-05-18T12:00Z'),
  },
  {
    name: 'an outage of five hours: missed times are reported for an hour, and the run that catches up is in time',
    cadence: cadence('0 * * * *'),
    ...life('2026-05-06T00:30Z', '2026-05-06T15:00Z'),
    outage: span('2026-05-06T04:30Z', '2026-05-06T09:30Z'),
    fires: { KmBackupSlotsMissed: [span('2026-05-06T09:30Z', '2026-05-06T10:30Z')] },
  },
  {
    name: 'an outage of three days',
    cadence: cadence('0 3 * * *'),
    ...life('2026-05-05T12:00Z', '2026-05-10T12:00Z'),
    outage: span('2026-05-06T12:00Z', '2026-05-09T12:00Z'),
    fires: { KmBackupSlotsMissed: [span('2026-05-09T12:00Z', '2026-05-09T13:00Z')] },
  },
  {
    name: 'an outage whose catching-up run fails: overdue until the next success',
    cadence: cadence('0 * * * *'),
    ...life('2026-05-06T00:30Z', '2026-05-06T15:00Z'),
    outage: span('2026-05-06T04:30Z', '2026-05-06T09:30Z'),
    succeeds: (slot) => slot !== ms('2026-05-06T09:00Z'),
    fires: {
      KmBackupSlotsMissed: [span('2026-05-06T09:30Z', '2026-05-06T10:30Z')],
      KmBackupOverdue: [span('2026-05-06T09:35Z', '2026-05-06T10:05Z')],
    },
  },
  {
    name: 'a suspension of two days: silent then, and not overdue at its end',
    cadence: cadence('0 * * * *'),
    ...life('2026-05-06T00:30Z', '2026-05-09T00:00Z'),
    suspension: span('2026-05-06T04:30Z', '2026-05-08T04:30Z'),
  },
  {
    name: 'suspended while overdue',
    cadence: cadence('0 * * * *'),
    ...life('2026-05-06T00:30Z', '2026-05-06T12:00Z'),
    succeeds: (slot) => slot < ms('2026-05-06T03:30Z'),
    suspension: span('2026-05-06T08:00Z', '2026-05-07T00:00Z'),
    fires: { KmBackupOverdue: [span('2026-05-06T05:25Z', '2026-05-06T08:00Z')] },
  },
  {
    name: 'a long run has its usual time',
    cadence: cadence('0 3 * * *'),
    ...life('2026-05-05T12:00Z', '2026-05-09T00:00Z'),
    runMinutes: 240,
  },
];

let folder: string;
let promtool: string;
let rules: Rules;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'km-alerts-'));
  ({ promtool } = await ensurePrometheus());
  const [rule] = (await renderChart(VALUES)).filter(({ kind }) => kind === 'PrometheusRule');
  rules = rule!.spec as unknown as Rules;
  await writeFile(join(folder, 'rules.yaml'), stringify(rules));
  await writeFile(join(folder, 'expectation.yaml'), stringify({ groups: [EXPECTATION_GROUP] }));
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

  it.each(scenarios)('$name', async (scenario) => {
    const file = join(folder, 'scenario.yaml');
    const cases = {
      rule_files: ['rules.yaml', 'expectation.yaml'],
      group_eval_order: ['km-backup', EXPECTATION_GROUP.name],
      evaluation_interval: `${STEP_MINUTES}m`,
      tests: [promtoolCase(scenario)],
    };
    await writeFile(file, stringify(cases));
    await expect(run(promtool, ['test', 'rules', file], { cwd: folder })).resolves.toBeDefined();
  });

  it('each have a page in docs/alerts, and each page has an alert', async () => {
    const pages = (await readdir(PAGES))
      .filter((name) => name !== 'README.md')
      .map((name) => name.replace('.md', ''));
    const alerts = rules.groups.flatMap((group) => group.rules);
    expect(pages.toSorted()).toEqual(alerts.map(({ alert }) => alert).toSorted());
    for (const { alert, annotations } of alerts) {
      expect(annotations['runbook_url']).toBe(`https://example.com/alerts/${alert}.md`);
      expect(await readFile(join(PAGES, `${alert}.md`), 'utf8')).toMatch(new RegExp(`^# ${alert}\n`));
    }
  });

  it('take their labels, and another severity, from the values', async () => {
    const objects = await renderChart([
      'prometheusRule.enabled=true',
      'prometheusRule.alertLabels.severity=page',
      'prometheusRule.alertLabels.team=storage',
    ]);
    const { groups } = objects.find(({ kind }) => kind === 'PrometheusRule')!.spec as unknown as Rules;
    const labels = groups.flatMap((group) => group.rules.map((rule) => rule.labels));
    expect(labels).toEqual(labels.map(() => ({ severity: 'page', team: 'storage' })));
  });

  it('each have a case in which they fire', async () => {
    const cases =
      (await readFile(join(folder, CASES), 'utf8')) +
      scenarios
        .flatMap(({ fires }) => Object.keys(fires ?? {}).map((alert) => `alertname: ${alert}\n`))
        .join('');
    const alerts = rules.groups.flatMap((group) => group.rules.map(({ alert }) => alert));
    expect(alerts.length).toBeGreaterThan(0);
    for (const alert of alerts) expect(cases).toMatch(new RegExp(`alertname: ${alert}\\n`));
  });
});
