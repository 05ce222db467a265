import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Cluster, clusterDown, clusterOpen, clusterUp, dockerAnswers } from '../cluster/index.ts';
import { isAlive, processesWithEnvironment, signal } from '../cluster/process.ts';

/** With Docker the tool hands over to kind, whose own tests are not ours to repeat. */
describe.skipIf(await dockerAnswers())('the cluster tool, control plane only', () => {
  const flavour = 'control-plane-only';
  const suffix = process.pid.toString(36);
  const [first, second] = [`tool-a-${suffix}`, `tool-b-${suffix}`];
  let stateRoot: string;
  let a: Cluster;
  let b: Cluster;
  const up = (name: string) => clusterUp({ name, flavour, stateRoot });
  const processesOf = (name: string) => processesWithEnvironment('KM_CLUSTER_STATE', join(stateRoot, name));

  beforeAll(async () => {
    stateRoot = await mkdtemp(join(tmpdir(), 'km-cluster-tool-'));
    [a, b] = await Promise.all([up(first), up(second)]);
  });
  afterAll(async () => {
    for (const name of [first, second]) await clusterDown({ name, stateRoot });
    await rm(stateRoot, { recursive: true, force: true });
  });

  it('runs two clusters side by side, each with its own objects', async () => {
    await a.kubectl(['create', 'configmap', 'only-in-a']);
    const names = async (cluster: Cluster) =>
      (await cluster.kubectl(['get', 'configmaps', '-o', 'name'])).stdout;
    expect(await names(a)).toContain('configmap/only-in-a');
    expect(await names(b)).not.toContain('configmap/only-in-a');
  });

  it('finds a running cluster on the second up, with the same processes and objects', async () => {
    const before = await a.status();
    const again = await up(first);
    expect(await again.status()).toEqual(before);
    expect((await again.kubectl(['get', 'configmaps', '-o', 'name'])).stdout).toContain('only-in-a');
  });

  it('runs the real Job controller', async () => {
    await a.kubectl(['create', 'job', 'one', '--image=none', '--', 'true']);
    const { stdout } = await a.kubectl([
      'wait',
      'job/one',
      '--for=jsonpath={.status.active}=1',
      '--timeout=20s',
    ]);
    expect(stdout).toContain('condition met');
  });

  it('freezes, kills and starts the API server, which keeps its objects', async () => {
    await a.pause('kube-apiserver');
    expect((await a.status()).find(({ component }) => component === 'kube-apiserver')?.health).toBe('paused');
    await expect(a.kubectl(['get', '--raw', '/readyz', '--request-timeout=1s'])).rejects.toThrow();
    await a.resume('kube-apiserver');
    expect((await a.kubectl(['get', '--raw', '/readyz'])).stdout).toBe('ok');
    await a.kill('kube-apiserver');
    expect((await a.status()).find(({ component }) => component === 'kube-apiserver')?.health).toBe(
      'stopped',
    );
    await a.start('kube-apiserver');
    expect((await a.kubectl(['get', 'configmaps', '-o', 'name'])).stdout).toContain('only-in-a');
  });

  it('cleans up after a SIGKILLed cluster whose pid files are lost, and starts anew', async () => {
    const old = processesOf(second);
    expect(old).toHaveLength(3);
    signal(old[0]!, 'SIGKILL');
    await rm(join(stateRoot, second, 'run'), { recursive: true });
    b = await up(second);
    expect(old.some(isAlive)).toBe(false);
    expect((await b.status()).map(({ health }) => health)).toEqual(['ok', 'ok', 'ok']);
  });

  it('leaves no process, mount or file after down, which may be repeated', async () => {
    await a.down();
    expect(processesOf(first)).toEqual([]);
    expect(await readdir(stateRoot)).not.toContain(first);
    expect(await readFile('/proc/self/mountinfo', 'utf8')).not.toContain(join(stateRoot, first));
    expect(await clusterOpen({ name: first, stateRoot })).toBeUndefined();
    await a.down();
    expect((await b.kubectl(['get', '--raw', '/readyz'])).stdout).toBe('ok');
  });
});
