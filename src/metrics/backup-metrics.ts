import { Counter, Gauge, type MetricValue, type Registry } from 'prom-client';
import { BACKUP_METRICS, type BackupMetric, type BackupSnapshot } from './snapshot.ts';

type Labels = Record<string, string>;
type Source = () => Iterable<[Labels, BackupSnapshot]>;

function valuesOf(metric: BackupMetric, source: Source): MetricValue<string>[] {
  const values: MetricValue<string>[] = [];
  for (const [labels, snapshot] of source()) {
    for (const sample of metric.samples(snapshot)) {
      if (sample.value === null || sample.value === undefined) continue;
      values.push({ labels: sample.labels ? { ...labels, ...sample.labels } : labels, value: sample.value });
    }
  }
  return values;
}

/**
 * The metrics of all schedules, computed from their snapshots at each scrape. Nothing is counted in this process, so a
 * restart loses nothing, a repeated reconcile counts nothing twice, and the series of a schedule end with it.
 */
export class BackupMetrics {
  readonly #snapshots = new Map<string, [Labels, BackupSnapshot]>();

  /** Registers all of `BACKUP_METRICS`; `labelled` adds `namespace` and `schedule` to each. */
  constructor(registry: Registry, options: { labelled: boolean }) {
    const source: Source = () => this.#snapshots.values();
    for (const metric of BACKUP_METRICS) {
      const labelNames = [
        ...(options.labelled ? ['namespace', 'schedule'] : []),
        ...(metric.labelNames ?? []),
      ];
      const made = new (metric.type === 'counter' ? Counter : Gauge)({
        name: metric.name,
        help: metric.help,
        labelNames,
        registers: [registry],
      });
      // Not stored between scrapes: ten thousand schedules have close to 200,000 series.
      const get = made.get.bind(made);
      made.get = async () => ({ ...(await get()), values: valuesOf(metric, source) });
    }
  }

  set(namespace: string, schedule: string, snapshot: BackupSnapshot): void {
    this.#snapshots.set(`${namespace}/${schedule}`, [{ namespace, schedule }, snapshot]);
  }

  delete(namespace: string, schedule: string): void {
    this.#snapshots.delete(`${namespace}/${schedule}`);
  }

  /** Sets the only snapshot of a scheduler that serves a single directory. */
  setOnly(snapshot: BackupSnapshot): void {
    this.#snapshots.set('', [{}, snapshot]);
  }
}
