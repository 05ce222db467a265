import { Counter, Gauge, type Registry } from 'prom-client';

/** What the metrics of the copies of one series show. */
export interface CopySnapshot {
  readonly success: number;
  readonly failure: number;
  readonly uploadedBytes: number;
  readonly reusedBytes: number;
  readonly lastSuccess?: { readonly atMs: number } | undefined;
  readonly lastFailure?: { readonly atMs: number } | undefined;
}

/** The metrics of copies. Registered only if copies are configured. */
export class CopyMetrics {
  #snapshot: CopySnapshot | undefined;

  constructor(registry: Registry) {
    const registers = [registry];
    const gauge = (name: string, help: string, value: (snapshot: CopySnapshot) => number | undefined) => {
      const made = new Gauge({ name, help, registers });
      const get = made.get.bind(made);
      made.get = async () => {
        const at = this.#snapshot && value(this.#snapshot);
        return { ...(await get()), values: at === undefined ? [] : [{ labels: {}, value: at }] };
      };
    };
    const counter = (name: string, help: string, samples: (snapshot: CopySnapshot) => [string, number][]) => {
      const made = new Counter({ name, help, registers, labelNames: ['result'] });
      const get = made.get.bind(made);
      made.get = async () => ({
        ...(await get()),
        values: (this.#snapshot ? samples(this.#snapshot) : []).map(([result, value]) => ({
          labels: result === '' ? {} : { result },
          value,
        })),
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
  }

  set(snapshot: CopySnapshot): void {
    this.#snapshot = snapshot;
  }
}
