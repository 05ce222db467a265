import { managedFiles } from './destination.ts';

/** How many archives to keep, by which rules. */
export interface RetentionRequest {
  readonly limit: number;
}

export interface PruneOptions {
  readonly destination: string;
  readonly series: string | undefined;
  readonly retention: RetentionRequest | undefined;
  readonly now: Date;
  readonly dryRun: boolean;
  /** An archive that no rule removes. */
  readonly keep?: string | undefined;
  readonly step?: ((name: string) => void) | undefined;
}

export interface PruneOutcome {
  readonly pruned: string[];
  readonly failures: string[];
  readonly present: { count: number; bytes: number; names: string[] };
}

export function pruneUnderLock(options: PruneOptions): PruneOutcome {
  const files = managedFiles(options.destination).sort((a, b) => (a.name < b.name ? 1 : -1));
  return {
    pruned: [],
    failures: [],
    present: {
      count: files.length,
      bytes: files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      names: files.map(({ name }) => name),
    },
  };
}
