/** docs/high-availability.md: two stores of real processes come back in order, and only then the gateway. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { service } from '../support/application.ts';
import { runBlock, shellBlocks } from '../support/doc-blocks.ts';
import { eventually, type Kubectl, type KubeObject } from '../support/kubectl.ts';
import { runNow, schedule } from '../support/resources.ts';
import { storesAndGateway } from '../support/stores.ts';
import { claim } from '../support/volume.ts';
import { cluster, restrictedNamespace } from './context.ts';

const NAMES = ['graph', 'vectors', 'gateway'] as const;
type Name = (typeof NAMES)[number];

let kubectl: Kubectl;
let remove: () => Promise<void>;

const kindOf = (name: Name) => (name === 'graph' ? 'statefulset' : 'deployment');

async function ask(name: Name, method: string, path: string): Promise<string> {
  await kubectl.run(['rollout', 'status', `${kindOf(name)}/${name}`, '--timeout=180s']);
  const program = `console.log(await (await fetch('http://localhost:8080${path}', { method: '${method}' })).text())`;
  const target = `${kindOf(name)}/${name}`;
  const said = await kubectl.run(['exec', '-i', target, '--', 'node', '--input-type=module', '-'], program);
  return said.trim();
}

const generations = async () => {
  const all: string[] = [];
  for (const name of NAMES) all.push(await ask(name, 'GET', '/generation'));
  return all;
};
const gatewayPods = (): Promise<KubeObject[]> => kubectl.list('pods', '-l', 'app=gateway');
const restoreOf = (name: Name): Promise<KubeObject> => kubectl.get('kmrestore', `${name}-back`);

beforeAll(async () => {
  ({ kubectl, remove } = await restrictedNamespace('ha'));
  const { stores, gateway } = storesAndGateway(cluster().image);
  await kubectl.apply([
    ...NAMES.map((name) => claim(name)),
    ...NAMES.map((name) => service(name)),
    ...stores,
  ]);
  for (const name of ['graph', 'vectors'] as const) await ask(name, 'PUT', '/first');
  await kubectl.apply([
    gateway,
    ...NAMES.map((name) =>
      schedule(name, { suspend: true, source: { persistentVolumeClaim: { claimName: name } } }),
    ),
  ]);
  await ask('gateway', 'PUT', '/first');
  for (const name of NAMES) expect((await runNow(kubectl, name)).status.phase).toBe('Succeeded');
  for (const name of NAMES) await ask(name, 'PUT', '/ruined');
});
afterAll(() => remove?.());

const [apply, look, goBack] = shellBlocks('high-availability.md');

it('brings the stores back one by one, and starts the gateway after both', async () => {
  const before = (await gatewayPods()).map(({ metadata }) => metadata.uid);
  await runBlock(apply!, kubectl);
  const seenTooEarly: string[] = [];
  await eventually(
    async () => {
      const pods = await gatewayPods();
      const [graph, vectors, gateway] = await Promise.all(NAMES.map(restoreOf));
      const isNew = pods.some(({ metadata }) => !before.includes(metadata.uid));
      if (isNew && !gateway!.status?.swapTime) seenTooEarly.push(JSON.stringify(pods));
      return [graph, vectors, gateway].map((restore) => restore!.status?.phase);
    },
    (phases) => phases.every((phase) => phase === 'Succeeded'),
    (last) => `the three restores to succeed: ${last}`,
    280_000,
  );
  expect(seenTooEarly).toEqual([]);
  expect(await runBlock(look!, kubectl)).toMatch(/gateway-back\s+Succeeded\s+Restored/);
  const [graph, vectors, gateway] = await Promise.all(NAMES.map(restoreOf));
  const times = [graph!.status.swapTime, graph!.status.completionTime, vectors!.status.swapTime];
  times.push(vectors!.status.completionTime, gateway!.status.swapTime);
  expect(times).toEqual(times.toSorted());
  expect(await generations()).toEqual(['first', 'first', 'first']);
  const [pod] = await gatewayPods();
  expect(pod!.status.containerStatuses[0].restartCount).toBe(0);
  expect((await kubectl.get('deployment', 'gateway')).spec.replicas).toBe(1);
});

it('goes back by one command', async () => {
  await runBlock(goBack!, kubectl);
  expect(await generations()).toEqual(['ruined', 'ruined', 'ruined']);
  for (const name of NAMES) expect((await kubectl.get(kindOf(name), name)).spec.replicas).toBe(1);
});
