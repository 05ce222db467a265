/** A process killed around each of its writes, one at a time. */
export interface Kill {
  /** The first is 1. */
  readonly write: number;
  /** Whether the write is carried out. */
  readonly when: 'before' | 'after';
}

/**
 * Runs a scene for every kill, a few at the same time.
 * @param from the first write to kill at
 * @returns what went wrong
 */
export async function runKills(
  { from = 1, writes, parallel }: { from?: number; writes: number; parallel: number },
  run: (kill: Kill) => Promise<unknown>,
): Promise<string[]> {
  const kills = Array.from({ length: writes - from + 1 }, (_, index) => index + from).flatMap((write) =>
    (['before', 'after'] as const).map((when): Kill => ({ write, when })),
  );
  const failures: string[] = [];
  const worker = async () => {
    for (let kill = kills.shift(); kill; kill = kills.shift()) {
      const { write, when } = kill;
      await run(kill).catch((error) => failures.push(`killed ${when} write ${write}: ${error}`));
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  return failures;
}
