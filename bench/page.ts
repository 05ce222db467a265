/**
 * `npm run bench:page`: what the status page costs the operator: the state of many schedules with a month of nightly runs
 * each, read from records as the cache keeps them, and the answers made of it. CPU time, the median of several.
 */

import { commandLine } from '../scripts/command-line.ts';
import type { KmBackup } from '../src/api/backup.ts';
import type { HttpAnswer } from '../src/health/index.ts';
import { finishedRunPacking } from '../src/operator/finished-run.ts';
import { type Overview, overviewOfResources } from '../src/overview/index.ts';
import { pageRoutes } from '../src/page/index.ts';
import { largeScene, SCENE_NOW } from '../test/support/backup-scene.ts';

const { schedules, repeat } = commandLine(
  { schedules: { type: 'string', default: '100,1000,10000' }, repeat: { type: 'string', default: '9' } },
  (values) => ({ schedules: values.schedules.split(',').map(Number), repeat: Number(values.repeat) }),
);

async function lengthOf({ body }: HttpAnswer): Promise<number> {
  if (typeof body === 'string') return Buffer.byteLength(body);
  let length = 0;
  for await (const chunk of body) length += Buffer.byteLength(chunk);
  return length;
}

/** Milliseconds of CPU that it takes: the median, after one run to warm up. */
async function cost<T>(work: () => T | Promise<T>): Promise<{ ms: number; value: T }> {
  let value = await work();
  const times: number[] = [];
  for (let round = 0; round < repeat; round += 1) {
    const before = process.cpuUsage();
    value = await work();
    const { user, system } = process.cpuUsage(before);
    times.push((user + system) / 1000);
  }
  times.sort((a, b) => a - b);
  return { ms: times[Math.floor(times.length / 2)]!, value };
}

/** Bytes of the heap that are in use. */
function used(): number {
  globalThis.gc!();
  return process.memoryUsage().heapUsed;
}

console.log(
  '| Schedules | Runs | State, ms | State, MiB | List, ms | List, KiB | One schedule, ms | JSON, ms | JSON, MiB |',
);
console.log('| --- | --- | --- | --- | --- | --- | --- | --- | --- |');
for (const count of schedules) {
  const { backups, ...scene } = largeScene(count);
  const packed = [...backups].map((backup) => finishedRunPacking.pack(backup as KmBackup) as string);
  const read = () =>
    overviewOfResources(
      { ...scene, backups: packed.values().map((text) => finishedRunPacking.unpack(text)) },
      SCENE_NOW,
    );
  const state = await cost<Overview>(read);
  const before = used();
  const another = read();
  const bytes = used() - before;
  const routes = pageRoutes({ subject: 'Backups', overview: () => another, monotonic: () => 0 });
  const answer = async (path: string) => {
    const url = new URL(`http://localhost${path}`);
    return cost(async () => lengthOf(await routes[url.pathname]!(url)));
  };
  const list = await answer('/');
  const one = await answer('/?namespace=team-00&schedule=volume-0000');
  const json = await answer('/status.json');
  const row = [
    count,
    packed.length,
    state.ms.toFixed(0),
    // What is kept between two requests.
    Math.round(bytes / 1024 ** 2),
    list.ms.toFixed(0),
    Math.round(list.value / 1024),
    one.ms.toFixed(1),
    json.ms.toFixed(0),
    (json.value / 1024 ** 2).toFixed(1),
  ];
  console.log(`| ${row.join(' | ')} |`);
}
