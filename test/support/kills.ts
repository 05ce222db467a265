import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { FaultProxy } from '../faultproxy/index.ts';

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

/**
 * Starts a process behind a proxy, and kills it around one of its writes.
 * @param kill undefined: it lives
 * @param counts which paths are written to in every scene, so that their numbers mean the same
 */
export function startToKill(
  proxy: FaultProxy,
  start: () => ChildProcess,
  kill: Kill | undefined,
  counts: (path: string) => boolean = () => true,
) {
  const writes: string[] = [];
  /** Each connection's write under way, by number. */
  const underway = new Map<number, number>();
  let killed = false;
  const victim = start();
  const exited = once(victim, 'exit');
  proxy.onWrite(async ({ phase, method, path, connection }) => {
    if (!counts(path)) return;
    if (phase === 'before') underway.set(connection, writes.push(`${method} ${path}`));
    if (killed || underway.get(connection) !== kill?.write || phase !== kill?.when) return;
    killed = true;
    victim.kill('SIGKILL');
    await exited;
    // Neither is it sent on, nor its answer back.
    throw new Error('killed');
  });
  return {
    /** Method and path of each, in order. */
    writes: writes as readonly string[],
    get killed() {
      return killed;
    },
    /** Starts it again when it was killed; returns at the latest when all is done. */
    async startedAgain(done: Promise<unknown>): Promise<void> {
      await Promise.race([exited, done]);
      if (killed) start();
    },
  };
}
