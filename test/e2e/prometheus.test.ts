import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Kubectl } from '../support/kubectl.ts';
import { eventually } from '../support/kubectl.ts';
import { forwardOperatorHttp, type OperatorHttp } from '../support/operator-http.ts';
import { ensurePrometheus, type Prometheus, startPrometheus } from '../support/prometheus.ts';
import { runNow, schedule } from '../support/resources.ts';
import { applyDataClaimWithNote } from '../support/volume.ts';
import { cluster, kubectlIn, restrictedNamespace } from './context.ts';

let kubectl: Kubectl;
let remove: () => Promise<void>;
let http: OperatorHttp;
let prometheus: Prometheus;
let folder: string;

beforeAll(async () => {
  ({ kubectl, remove } = await restrictedNamespace('prometheus'));
  await applyDataClaimWithNote(kubectl, cluster().image);
  await kubectl.apply([
    schedule('scraped', { source: { persistentVolumeClaim: { claimName: 'data' } }, suspend: true }),
  ]);
  await runNow(kubectl, 'scraped');
  http = await forwardOperatorHttp(kubectlIn(cluster().operator.namespace), cluster().operator.name);
  folder = await mkdtemp(join(tmpdir(), 'km-prometheus-'));
  const config = {
    global: { scrape_interval: '1s' },
    scrape_configs: [
      {
        job_name: 'km-backup-operator',
        honor_labels: true,
        static_configs: [{ targets: [`127.0.0.1:${http.port}`] }],
      },
    ],
  };
  await writeFile(join(folder, 'prometheus.yml'), JSON.stringify(config));
  prometheus = await startPrometheus(await ensurePrometheus(), folder);
});

afterAll(async () => {
  await prometheus?.stop();
  http?.close();
  await remove?.();
  if (folder) await rm(folder, { recursive: true, force: true });
});

describe('a real Prometheus', () => {
  it.each([
    ['km_backup_last_status', (value: number) => value === 1],
    ['km_backup_archives', (value: number) => value === 1],
    ['km_backup_runs_total{result="success"}', (value: number) => value === 1],
    ['time() - km_backup_last_success_timestamp', (value: number) => value >= 0 && value < 600],
  ])('scrapes %s with the schedule as its labels', async (expression, holds) => {
    const selector = `schedule="scraped",namespace="${kubectl.namespace}"`;
    const query = expression.replace(
      /(km_backup_\w+)(?:\{(.*)\})?/,
      (_, name: string, more?: string) => `${name}{${[selector, more].filter(Boolean).join(',')}}`,
    );
    const series = await eventually(
      () => prometheus.query(query),
      (found) => found.length === 1 && holds(Number(found[0]?.value[1])),
      (last) => `${query}; its last answer: ${JSON.stringify(last)}`,
    );
    expect(series).toHaveLength(1);
  });
});
