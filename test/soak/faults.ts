import type { Cluster, Log } from '../cluster/index.ts';
import type { Rule } from '../faultproxy/index.ts';
import type { Replica } from './replica.ts';

export const FAULTS = [
  'kill',
  'kill leader',
  'freeze process',
  'restart API server',
  'freeze watches',
  'cut watches',
  'clock step',
  'lost answers',
  'refusals',
] as const;
export type FaultName = (typeof FAULTS)[number];

interface Scene {
  cluster: Cluster;
  replicas: readonly Replica[];
  random: () => number;
  log: Log;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Applies a fault rule for a while. */
function strike(replica: Replica, rule: Rule, forMs: number): void {
  const active = replica.proxy.add(rule);
  setTimeout(() => active.remove(), forMs);
}

/** A client's connection may hold the port for a moment. */
async function startApiServer(cluster: Cluster): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await cluster.start('kube-apiserver');
    } catch (error) {
      if (tries === 10) throw error;
      await pause(1_000);
    }
  }
}

/** Starts one fault. Faults that last end by themselves. */
async function inflict(fault: FaultName, { cluster, replicas, random, log }: Scene): Promise<void> {
  const replica = replicas[Math.floor(random() * replicas.length)]!;
  const pauseMs = Math.round(random() * 4_000);
  const say = (more: string) => log(`${fault}: ${more}`);
  switch (fault) {
    case 'kill':
      say(`${replica.name} for ${pauseMs} ms`);
      return replica.kill(pauseMs);
    case 'kill leader': {
      for (const one of replicas) {
        if (!(await one.leads())) continue;
        say(`${one.name} for ${pauseMs} ms`);
        one.kill(pauseMs);
      }
      return;
    }
    case 'freeze process':
      // Longer than the Lease: another replica leads when this one wakes.
      say(`${replica.name} for ${6_000 + pauseMs} ms`);
      return replica.freeze(6_000 + pauseMs);
    case 'restart API server':
      say('killed and started');
      await cluster.kill('kube-apiserver');
      return startApiServer(cluster);
    case 'freeze watches': {
      const paths = [/./, /kmbackups\?|jobs\?/, /kmbackupschedules\?/, /pods\?/];
      const path = paths[Math.floor(random() * paths.length)]!;
      const count = replica.proxy.freezeAll({ watch: true, path });
      return say(`${count} of ${replica.name} (${path.source})`);
    }
    case 'cut watches':
      return say(`${replica.proxy.cutAll({ watch: true })} of ${replica.name}`);
    case 'clock step': {
      const offsetMs = Math.round((random() * 4 - 1.5) * 60_000);
      // The clock is set right again, or a short soak would hardly see a scheduled time.
      const forMs = 8_000 + pauseMs;
      say(`${replica.name} to ${offsetMs} ms for ${forMs} ms`);
      return replica.stepClock(offsetMs, forMs);
    }
    case 'lost answers':
      say(`every fifth write of ${replica.name} for 5 s`);
      for (const method of ['POST', 'PATCH', 'PUT', 'DELETE']) {
        strike(replica, { match: { method }, fault: { kind: 'loseAnswer' }, probability: 0.2 }, 5_000);
      }
      return;
    case 'refusals':
      say(`429, 500, 409 and silence to ${replica.name} for 5 s`);
      for (const status of [429, 500, 409]) {
        strike(
          replica,
          {
            match: { watch: false },
            fault: { kind: 'answer', status, ...(status === 429 && { retryAfterSeconds: 1 }) },
            probability: 0.1,
          },
          5_000,
        );
      }
      strike(replica, { match: { watch: false }, fault: { kind: 'drop' }, probability: 0.1 }, 5_000);
      return;
  }
}

/** Inflicts all faults in random order, again and again until the time is over, and counts them. */
export async function inflictFaults(scene: Scene, untilMs: number): Promise<Map<FaultName, number>> {
  const counts = new Map<FaultName, number>();
  let bag: FaultName[] = [];
  while (Date.now() < untilMs) {
    if (bag.length === 0) bag = [...FAULTS];
    const [fault] = bag.splice(Math.floor(scene.random() * bag.length), 1);
    await inflict(fault!, scene);
    counts.set(fault!, (counts.get(fault!) ?? 0) + 1);
    await pause(Math.min(3_000 + scene.random() * 6_000, Math.max(0, untilMs - Date.now())));
  }
  return counts;
}
