/** docs/databases.md with a real PostgreSQL: its commands, as they stand there. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parse } from 'yaml';
import { clusterOpen, elapsedLog } from '../cluster/index.ts';
import { runPage, shellBlocks } from '../support/doc-blocks.ts';
import { root } from '../support/doc-pages.ts';
import { CLUSTER_NAME } from '../support/install.ts';
import { eventually, type Kubectl } from '../support/kubectl.ts';
import { DATABASE_USER, ensurePostgresImage, shopDatabase } from '../support/postgres.ts';
import { schedule } from '../support/resources.ts';
import { cluster, restrictedNamespace } from './context.ts';

let kubectl: Kubectl;
let remove: () => Promise<void>;
let work: string;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'km-databases-'));
  const image = await ensurePostgresImage();
  // A cluster of somebody else's pulls the image of that name.
  const own = await clusterOpen({ name: CLUSTER_NAME, log: elapsedLog(process.stderr) });
  await own?.loadImage(image);
  ({ kubectl, remove } = await restrictedNamespace('databases'));
  await kubectl.apply(shopDatabase());
  await kubectl.apply(await withAddress(await readFile(join(root, 'deploy/examples/postgres.yaml'), 'utf8')));
  await isUp();
  await sql('CREATE DATABASE shop', 'postgres');
  await sql('CREATE TABLE orders (id int PRIMARY KEY, what text)');
  await sql("INSERT INTO orders SELECT id, 'order ' || id FROM generate_series(1, 5000) AS id");
});
afterAll(async () => {
  await remove?.();
  await rm(work, { recursive: true, force: true });
});

/** The CronJobs of a manifest, and `load`, with the address of the database: the test cluster has no DNS. */
async function withAddress(manifest: string): Promise<object[]> {
  const { spec } = await kubectl.get('service', 'shop-db');
  const hostAliases = [{ ip: spec.clusterIP, hostnames: ['shop-db'] }];
  const cronJobs = [...manifest.split('\n---\n').map((text) => parse(text)), ...shopDatabase()].filter(
    ({ kind }) => kind === 'CronJob',
  );
  for (const { spec } of cronJobs) spec.jobTemplate.spec.template.spec.hostAliases = hostAliases;
  return cronJobs;
}

/** Waits until the database answers. */
const isUp = () =>
  eventually(
    () => sql('SELECT 1', 'postgres').catch(String),
    (answer) => answer === '1',
    (answer) => `the database to answer: ${answer}`,
  );

async function sql(command: string, database = 'shop'): Promise<string> {
  const psql = ['psql', '-tAX', '-h', 'localhost', '-d', database, '-v', 'ON_ERROR_STOP=1', '-c', command];
  return (await kubectl.exec('shop-db-0', psql)).trim();
}

const orders = () => sql('SELECT count(*), max(what) FROM orders');

let pages = 0;
/** Runs the commands of a section in this namespace. */
async function follow(section: string, edit = (block: string) => block): Promise<string> {
  const choose = `kubectl config set-context --current --namespace=${kubectl.namespace}`;
  const blocks = shellBlocks('databases.md', section).map(edit);
  expect(blocks.length).toBeGreaterThan(0);
  return await runPage([choose, ...blocks], cluster(), join(work, String(pages++)), { in: root });
}

it('a dump is backed up; brought back and loaded, it undoes what was lost', async () => {
  const before = await orders();
  const [back, restore] = shellBlocks('databases.md', 'Dump, then back up the dump');
  await follow('Dump, then back up the dump', (block) => (block === back ? block : 'true'));
  await sql('DROP TABLE orders');
  // Nobody is asked here.
  await follow('Dump, then back up the dump', (block) =>
    block === restore ? block.replace('kubectl km restore', 'kubectl km restore --yes') : 'true',
  );
  await kubectl.run(['wait', 'job/load-now', '--for=condition=Complete', '--timeout=180s']);
  expect(before).toContain('5000|');
  expect(await orders()).toBe(before);
});

it('stopped for its backup, it is up again afterwards, and the archive is complete', async () => {
  const before = await orders();
  await kubectl.apply([
    schedule('shop-db-files', {
      suspend: true,
      source: { persistentVolumeClaim: { claimName: 'shop-db' } },
      podTemplate: DATABASE_USER,
    }),
  ]);
  expect(await follow('Stop it for the backup')).not.toContain('the backup failed');
  const runs = (await kubectl.list('kmbackups')).filter(({ spec }) => spec.scheduleName === 'shop-db-files');
  expect(runs.map(({ status }) => status.phase)).toEqual(['Succeeded']);
  await isUp();
  expect(await orders()).toBe(before);
});
