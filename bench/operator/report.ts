import { POD_TAKES, type RequestsPair, type Scale } from './cases.ts';
import type { Lag } from './lag.ts';
import type { Memory } from './operator-process.ts';

/** What the bench measured. Parts that were not asked for are absent. */
export interface Figures {
  at: string;
  machine: string;
  quick: boolean;
  dueAtOnce: number;
  ours?: Lag & Memory;
  tuned?: Lag & Memory;
  shipped?: Lag & Memory;
  requests?: RequestsPair;
  scale?: Scale;
}

const seconds = (ms: number) => `${(ms / 1000).toFixed(2)} s`;
const met = (good: boolean) => (good ? 'met' : '**missed**');

function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

const sum = (row: Record<string, number> | undefined) =>
  Math.round(Object.values(row ?? {}).reduce((total, value) => total + value, 0) * 10) / 10;

const STUB = `A stub stands in for the kubelet: a pod starts after ${POD_TAKES.startMs / 1000} s and runs for ${POD_TAKES.runMs / 1000} s.`;

function lagSection({ ours, tuned, shipped, dueAtOnce }: Figures): string[] {
  if (!ours || !tuned || !shipped) return [];
  const row = (who: string, lag: Lag & Memory) => [
    who,
    lag.jobs,
    seconds(lag.p50Ms),
    seconds(lag.p99Ms),
    seconds(lag.maxMs),
    `${lag.peakMb} MB`,
  ];
  const ratio = shipped.p99Ms / ours.p99Ms;
  return [
    `## ${dueAtOnce.toLocaleString('en')} schedules due in one minute`,
    'Time from the scheduled time to the creation of the Job, as a separate watch sees it. The Jobs stay pending. The operator runs with `--api-qps=2000 --workers=50` and without a concurrency limit; the tuned CronJob controller with 2,000 requests a second and 50 workers; the shipped one with 20 and 5.',
    table(
      ['', 'Jobs', 'p50', 'p99', 'max', 'peak RSS'],
      [
        row('km-backup-operator', ours),
        row('CronJob controller, tuned', tuned),
        row('CronJob controller, as shipped', shipped),
      ],
    ),
    `Aim p99 at least 10x better than shipped: ${met(ratio >= 10)} (${ratio.toFixed(1)}x). Aim p99 <= tuned: ${met(ours.p99Ms <= tuned.p99Ms)} (${(ours.p99Ms / tuned.p99Ms).toFixed(2)}x of it).`,
  ];
}

function requestSection({ requests }: Figures): string[] {
  if (!requests) return [];
  const { ours, peer } = requests;
  const list = (row: Record<string, number> | undefined) =>
    Object.entries(row ?? {})
      .map(([name, count]) => `${name} ${count}`)
      .join(', ');
  const operator = sum(ours.byAgent['operator']);
  const cron = sum(peer.byAgent['cronjob-controller']);
  const jobs = sum(peer.byAgent['job-controller']);
  const jobStatus = peer.byAgent['job-controller']?.['update jobs/status'] ?? 0;
  return [
    '## Requests a run',
    `Counted in the audit log of the API server over one scheduled time of ${ours.runs} schedules each, after enough earlier runs that each run also removes an old one. ${STUB} docs/api-requests.md says what each request is for.`,
    table(
      ['Client', 'Requests a run', 'Of these'],
      [
        ['operator', operator, list(ours.byAgent['operator'])],
        ['CronJob controller', cron, list(peer.byAgent['cronjob-controller'])],
        ['Job controller, for a CronJob', jobs, list(peer.byAgent['job-controller'])],
        [
          'Job controller, for the operator',
          sum(ours.byAgent['job-controller']),
          list(ours.byAgent['job-controller']),
        ],
      ],
    ),
    `Aim: at most twice the CronJob controller and the Job status (${(cron + jobStatus).toFixed(1)} a run): ${met(operator <= 2 * (cron + jobStatus))} (${(operator / (cron + jobStatus)).toFixed(2)}x).`,
  ];
}

function scaleSection({ scale }: Figures): string[] {
  if (!scale) return [];
  const { growth, idle, ready, hourly } = scale;
  const n = (value: number) => value.toLocaleString('en');
  const others = Object.entries(idle.requests).filter(([name]) => !name.endsWith(' leases'));
  return [
    `## ${n(hourly.schedules)} schedules each hour, spread by H`,
    `\`H * * * *\` gives each schedule a minute of the hour: ${Math.round(hourly.schedules / 60)} are due at the start of each. The bench watches ${hourly.minutes} whole minutes of the hour in real time: ${n(hourly.slots)} scheduled times, which \`nextScheduleTime\` named in advance. ${STUB}`,
    table(
      ['Scheduled times', 'served', 'p50', 'p99', 'max'],
      [[hourly.slots, hourly.jobs, seconds(hourly.p50Ms), seconds(hourly.p99Ms), seconds(hourly.maxMs)]],
    ),
    `Aim every scheduled time served: ${met(hourly.jobs === hourly.slots)}. Aim p99 <= 2 s: ${met(hourly.p99Ms <= 2_000)}.`,
    `## Idle with ${n(idle.schedules)} schedules and ${n(idle.backups)} runs`,
    `Over ${idle.seconds} s; requests from the audit log, without watches.`,
    table(
      ['Requests', 'CPU of a core', 'RSS', 'peak RSS'],
      [
        [
          Object.entries(idle.requests)
            .map(([name, count]) => `${name} ${count}`)
            .join(', '),
          `${idle.cpuPercent} %`,
          `${idle.rssMb} MB`,
          `${idle.peakMb} MB`,
        ],
      ],
    ),
    `Aim no request but watches and Lease: ${met(others.length === 0)}. Aim CPU <= 1 %: ${met(idle.cpuPercent <= 1)}. Aim RSS <= 250 MB: ${met(idle.rssMb <= 250)}. Schedules and runs were written straight into etcd.`,
    `## Start with ${n(ready.schedules)} schedules and ${n(ready.backups)} runs`,
    table(
      ['start to ready', 'start to all reconciled', 'RSS when ready'],
      [[seconds(ready.readyMs), seconds(ready.settledMs), `${ready.rssMb} MB`]],
    ),
    `Aim ready within 10 s: ${met(ready.readyMs <= 10_000)}.`,
    '## Cost of a run as schedules grow',
    `${growth[0]?.runs} schedules due in one minute while the others sleep, the whole run included.`,
    table(
      ['schedules', 'CPU a run', 'requests a run', 'lag p50', 'lag p99'],
      growth.map((row) => [
        n(row.schedules),
        `${row.cpuMsPerRun} ms`,
        row.requestsPerRun,
        seconds(row.lag.p50Ms),
        seconds(row.lag.p99Ms),
      ]),
    ),
  ];
}

/** docs/benchmarks-operator.md. */
export function report(figures: Figures): string {
  return `${[
    '# Benchmarks of the operator and the CronJob controller',
    '<!-- Written by "npm run bench:operator -- --write". Do not edit. -->',
    `${figures.machine}; etcd, API server, controllers, operator and bench share the machine; Kubernetes of the cluster tool, ${figures.at}.${figures.quick ? ' Quick sizes.' : ''}`,
    ...lagSection(figures),
    ...requestSection(figures),
    ...scaleSection(figures),
  ].join('\n\n')}\n`;
}
