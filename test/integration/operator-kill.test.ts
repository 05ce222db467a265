import { describe, expect, it } from 'vitest';
import { type Kill, runKills, startToKill } from '../support/kills.ts';
import { inScene } from '../support/operator-scene.ts';

/** Runs of this length after the slot must be over before the next one is due. */
const AFTER_SLOT_MS = 1_000;
/** Most of a round is waiting. */
const PARALLEL = 6;
/** A run, its Job, and the status of each: other writes may come after the end, or not at all. */
const SURE_WRITES = 4;

interface Round {
  /** All due at once. */
  readonly schedules: readonly string[];
  readonly options: readonly string[];
  /** Pods end at once, or not before every Job was made. */
  readonly podsEnd: 'at once' | 'after the last Job';
}

/** One slot of every schedule, with one kill of the operator; gives the writes seen, each as `POST /path`. */
const run = inScene(async (scene, round: Round, kill: Kill | undefined): Promise<readonly string[]> => {
  const { proxy, file } = await scene.proxied();
  if (round.podsEnd === 'at once') await scene.kubelet();
  const slots: number[] = [];
  for (const name of round.schedules) slots.push(await scene.scheduleWithOneSlot(name));
  const offsetMs = Math.max(...slots) + AFTER_SLOT_MS - Date.now();
  const start = () => {
    const operator = scene.spawnOperator({ kubeconfig: file, offsetMs, options: round.options });
    operator.stderr?.pipe(process.stderr);
    return operator;
  };

  const operator = startToKill(proxy, start, kill);
  const settled = async () => {
    if (round.podsEnd === 'after the last Job') {
      await scene.jobCount(round.schedules.length);
      await scene.kubelet();
    }
    await scene.oneRunOfEach(round.schedules);
  };
  const end = settled();
  await operator.startedAgain(end);
  await end;
  if (kill && !operator.killed && kill.write <= SURE_WRITES * round.schedules.length)
    throw new Error('never written');
  return operator.writes;
});

/** Runs the round once for every kill; gives what went wrong. */
function runAll(round: Round, writes: number): Promise<string[]> {
  return runKills({ writes, parallel: PARALLEL }, (kill) => run(round, kill));
}

describe('an operator killed at a write', () => {
  it('makes one Job for the scheduled time, whichever write it was, whether or not it was carried out', async () => {
    const round: Round = { schedules: ['notes'], options: [], podsEnd: 'at once' };
    const writes = await run(round, undefined);
    // The run, its Job, their statuses and Events.
    expect(writes.length).toBeGreaterThanOrEqual(8);
    expect(await runAll(round, writes.length)).toEqual([]);
  }, 600_000);

  it('makes one Job for each of several scheduled times, whose statuses wait for the Jobs', async () => {
    const schedules = ['a', 'b', 'c'];
    const round: Round = {
      schedules,
      // Fewer workers than runs: something always waits.
      options: ['--workers=1'],
      podsEnd: 'after the last Job',
    };
    const writes = await run(round, undefined);
    const isStatus = (write: string) => /^PUT .*\/status/.test(write);
    const isJob = (write: string) => /^POST .*\/jobs$/.test(write);
    expect(writes.filter(isJob)).toHaveLength(schedules.length);
    expect(writes.findIndex(isStatus)).toBeGreaterThan(writes.findLastIndex(isJob));
    // Up to the last status: from there on the runs end as any run does.
    const held = new Set(writes.filter(isStatus));
    expect(held.size).toBe(2 * schedules.length);
    const until = Math.max(...[...held].map((write) => writes.indexOf(write))) + 1;
    expect(await runAll(round, until)).toEqual([]);
  }, 600_000);
});
