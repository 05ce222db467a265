import { Counter, Gauge, type Registry } from 'prom-client';

/** What the metrics of the copies of one series in one location show. */
export interface CopySnapshot {
  readonly success: number;
  readonly failure: number;
  readonly uploadedBytes: number;
  readonly reusedBytes: number;
  readonly lastSuccess?: { readonly atMs: number } | undefined;
  readonly lastFailure?: { readonly atMs: number } | undefined;
  /** Since when the location lacks the newest archive; undefined if it has it. */
  readonly waitingSinceMs?: number | undefined;
}

type Labels = Readonly<Record<string, string>>;
const COPY_LABELS = ['namespace', 'schedule', 'location'];
const LOCATION_LABELS = ['namespace', 'location'];

/** The metrics of copies. Those without labels are registered only if copies are configured. */
export class CopyMetrics {
  /** By owner: a schedule has a copy in each of its locations. */
  readonly #copies = new Map<string, readonly (readonly [Labels, CopySnapshot])[]>();
  readonly #available = new Map<string, readonly [Labels, number]>();

  constructor(registry: Registry, { labelled = false }: { readonly labelled?: boolean } = {}) {
    const registers = [registry];
    const labelNames = labelled ? COPY_LABELS : [];
    const gauge = (name: string, help: string, value: (snapshot: CopySnapshot) => number | undefined) => {
      const made = new Gauge({ name, help, registers, labelNames });
      const get = made.get.bind(made);
      made.get = async () => ({
        ...(await get()),
        values: this.#all().flatMap(([labels, snapshot]) => {
          const at = value(snapshot);
          return at === undefined ? [] : [{ labels, value: at }];
        }),
      });
    };
    const counter = (name: string, help: string, samples: (snapshot: CopySnapshot) => [string, number][]) => {
      const made = new Counter({ name, help, registers, labelNames: [...labelNames, 'result'] });
      const get = made.get.bind(made);
      made.get = async () => ({
        ...(await get()),
        values: this.#all().flatMap(([labels, snapshot]) =>
          samples(snapshot).map(([result, value]) => ({
            labels: result === '' ? labels : { ...labels, result },
            value,
          })),
        ),
      });
    };
    counter('km_backup_copies_total', 'Copies to the location that ended, by result.', (of) => [
      ['success', of.success],
      ['failure', of.failure],
    ]);
    gauge(
      'km_backup_copy_last_success_timestamp',
      'When the newest archive was last confirmed in the location, in seconds since the epoch.',
      ({ lastSuccess }) => lastSuccess && lastSuccess.atMs / 1000,
    );
    gauge('km_backup_copy_last_status', 'Whether the last copy succeeded: 1 or 0.', (of) => {
      if (!of.lastSuccess && !of.lastFailure) return undefined;
      return of.lastFailure && of.lastFailure.atMs >= (of.lastSuccess?.atMs ?? 0) ? 0 : 1;
    });
    counter('km_backup_copy_bytes_uploaded_total', 'Bytes that copies stored.', (of) => [
      ['', of.uploadedBytes],
    ]);
    counter('km_backup_copy_bytes_reused_total', 'Bytes that copies found stored already.', (of) => [
      ['', of.reusedBytes],
    ]);
    if (!labelled) return;
    gauge(
      'km_backup_copy_waiting_since_timestamp',
      'When the run ended whose archive the location lacks, in seconds since the epoch. Absent if it has the newest one.',
      ({ waitingSinceMs }) => waitingSinceMs && waitingSinceMs / 1000,
    );
    const available = new Gauge({
      name: 'km_backup_location_available',
      help: 'Whether the last check of a KmBackupLocation succeeded: 1 or 0. Absent until one has ended.',
      registers,
      labelNames: LOCATION_LABELS,
    });
    const get = available.get.bind(available);
    available.get = async () => ({
      ...(await get()),
      values: Array.from(this.#available.values(), ([labels, value]) => ({ labels, value })),
    });
  }

  #all() {
    return [...this.#copies.values()].flat();
  }

  /** Sets the only copy of a scheduler that serves a single directory. */
  set(snapshot: CopySnapshot): void {
    this.#copies.set('', [[{}, snapshot]]);
  }

  /** Sets the copies of a schedule, by location; none removes its series. */
  setCopies(namespace: string, schedule: string, copies: ReadonlyMap<string, CopySnapshot>): void {
    const key = `${namespace}/${schedule}`;
    if (copies.size === 0) this.#copies.delete(key);
    else {
      const rows = [...copies].map(
        ([location, snapshot]) => [{ namespace, schedule, location }, snapshot] as const,
      );
      this.#copies.set(key, rows);
    }
  }

  /** Undefined removes the series. */
  setAvailable(namespace: string, location: string, isAvailable: boolean | undefined): void {
    const key = `${namespace}/${location}`;
    if (isAvailable === undefined) this.#available.delete(key);
    else this.#available.set(key, [{ namespace, location }, Number(isAvailable)]);
  }
}
