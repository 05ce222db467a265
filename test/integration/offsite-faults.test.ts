/** Copies to a real S3 server through a proxy that breaks requests. */
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { DeleteObjectCommand, GetObjectRetentionCommand } from '@aws-sdk/client-s3';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { Retrier } from '../../src/clock/retry.ts';
import {
  checkLocation,
  initLocation,
  type Location,
  listedArchives,
  locationAt,
  pruneCopies,
  readList,
  verifyCopies,
  writerOf,
} from '../../src/offsite/index.ts';
import { program, Sandbox } from '../support/backup.ts';
import { copyTo, fetchFrom, sha256 } from '../support/copies.ts';
import { type Fault, S3Proxy, type Seen } from '../support/s3-proxy.ts';
import { S3Server } from '../support/s3-server.ts';

const PACK_BYTES = 100_000;
const keep = (limit: number) => ({ limit });

let server: S3Server;
let proxy: S3Proxy;
let box: Sandbox;
let archive: string;
let name: string;
let prefixes = 0;

beforeAll(async () => {
  server = await S3Server.start('versitygw');
  await server.createBucket('backups');
  await server.createBucket('locked', true);
  proxy = await S3Proxy.start(server.endpoint);
  for (const [key, value] of Object.entries(server.env)) {
    if (key !== 'AWS_ENDPOINT_URL_S3') vi.stubEnv(key, value);
  }
  box = new Sandbox();
  for (let file = 0; file < 60; file++) box.write(`f/${file}`, randomBytes(5_000));
  box.clockAheadMs = 3_000;
  archive = (await box.back()).result.archive!.path;
  name = path.basename(archive);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await proxy[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
  box[Symbol.dispose]();
});
beforeEach(() => proxy.reset());
afterEach(() => {
  for (const file of fs.readdirSync(box.destination)) {
    if (/checkpoint$/.test(file)) fs.rmSync(path.join(box.destination, file));
  }
});

const freshUrl = (bucket = 'backups') => `s3://${bucket}/p${prefixes++}`;

/** @param totalMs 0: the first failure is the last, as if the process were killed there. */
function at(
  url: string,
  totalMs: number,
  more: Partial<Parameters<typeof locationAt>[1]> = {},
): Promise<Location> {
  return locationAt(url, {
    endpoint: proxy.endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    retrier: new Retrier({ totalMs, baseMs: 1, capMs: 5 }),
    ...more,
  });
}

const copy = (location: Location) => copyTo(location, archive, { packBytes: PACK_BYTES, uploads: 1 });

/** Packs of which the server has the whole content, by the requests that went through. */
const packPuts = () =>
  proxy.seen
    .filter(({ method, path: at }) => method === 'PUT' && at.includes('/packs/'))
    .map(({ path: at }) => at);

async function missingPacks(location: Location): Promise<string[]> {
  const bad: string[] = [];
  const copies = await listedArchives(location, '');
  for await (const { problem } of verifyCopies(copies, { location, deep: false }))
    if (problem) bad.push(problem);
  return bad;
}

describe.each<[string, Fault]>([
  ['not sent', { kind: 'drop' }],
  ['carried out, but not answered', { kind: 'lose-answer' }],
])('a copy that ends with a request that was %s', (_, fault) => {
  test('leaves no list without its packs, and the next one stores no confirmed pack again', async () => {
    const whole = await at(freshUrl(), 0);
    await initLocation(whole, () => new Date());
    proxy.reset();
    await copy(whole);
    const requests = proxy.seen.length;
    const packs = packPuts().length;
    expect([packs, requests > 15]).toEqual([expect.any(Number), true]);
    expect(packs).toBeGreaterThan(1);
    for (let killed = 0; killed < requests; killed++) {
      const location = await at(freshUrl(), 0);
      await initLocation(location, () => new Date());
      proxy.reset();
      proxy.faultOf = (_seen, index) => (index === killed ? fault : undefined);
      await expect(copy(location), `request ${killed}`).rejects.toMatchObject({ name: 'ArchiveError' });
      const stored = packPuts();
      proxy.faultOf = () => undefined;
      expect([killed, await missingPacks(location)]).toEqual([killed, []]);
      // Confirmed: its HEAD was answered, so that the request that failed came after it.
      const last = proxy.seen[killed]!;
      const confirmed = stored.filter((one) => !last.path.startsWith(one.split('?')[0]!));
      proxy.seen.length = 0;
      await copy(location);
      expect([killed, confirmed.length + packPuts().length]).toEqual([killed, packs]);
      expect(sha256(await fetchFrom(box, location, name))).toBe(sha256(archive));
    }
  });
});

test('a process that is killed leaves no lock, and the next one stores no confirmed pack again', async () => {
  const url = freshUrl();
  const km = () =>
    spawn(program, ['copy', name, url, '--destination', box.destination, '--no-encryption', '--path-style'], {
      env: { ...process.env, AWS_ENDPOINT_URL_S3: proxy.endpoint },
      stdio: 'ignore',
    });
  let child = km();
  // Its list is what it would store last.
  proxy.faultOf = ({ method, path: at }) => {
    if (method !== 'PUT' || !at.endsWith('.index?x-id=PutObject')) return undefined;
    child.kill('SIGKILL');
    return { kind: 'drop' };
  };
  await once(child, 'exit');
  expect(child.signalCode).toBe('SIGKILL');
  // One of members, one of the manifest.
  expect(packPuts()).toHaveLength(2);
  const location = await at(url, 0);
  expect(await listedArchives(location, '')).toEqual([]);
  proxy.reset();
  child = km();
  const [status] = await once(child, 'exit');
  expect([status, packPuts()]).toEqual([0, []]);
  expect(sha256(await fetchFrom(box, location, name))).toBe(sha256(archive));
});

test.each<[string, Fault]>([
  ['503 SlowDown', { kind: 'answer', status: 503, code: 'SlowDown' }],
  ['500', { kind: 'answer', status: 500, code: 'InternalError' }],
  ['429', { kind: 'answer', status: 429, code: 'TooManyRequests' }],
  ['a connection reset', { kind: 'drop' }],
  ['a lost answer', { kind: 'lose-answer' }],
  ['an answer that is cut', { kind: 'cut-answer' }],
  ['no answer at all', { kind: 'hang' }],
  ['an answer that stops', { kind: 'freeze-answer' }],
  ['an altered answer', { kind: 'alter-answer' }],
  ['an altered request', { kind: 'alter-request' }],
  ['a delay', { kind: 'delay', ms: 20 }],
])('%s now and then: copy and fetch succeed, bit for bit', async (_, fault) => {
  // Altering a listing or an error's XML makes another listing: only objects are altered.
  const isObject = ({ path: at }: Seen) => !at.includes('list-type');
  proxy.faultOf = (seen, index) =>
    index % 3 === 1 && (fault.kind !== 'alter-answer' || isObject(seen)) ? fault : undefined;
  const location = await at(freshUrl(), 20_000, { silenceMs: 500 });
  await initLocation(location, () => new Date());
  await copy(location);
  expect(sha256(await fetchFrom(box, location, name))).toBe(sha256(archive));
  expect(await missingPacks(location)).toEqual([]);
});

test('an object that is altered where it lies is found by its reader, not blamed on the network', async () => {
  const location = await at(freshUrl(), 20_000);
  await copy(location);
  proxy.faultOf = ({ method, path: at }) =>
    method === 'GET' && at.includes('/packs/') ? { kind: 'alter-answer' } : undefined;
  await expect(fetchFrom(box, location, name)).rejects.toMatchObject({ reason: 'ArchiveCorrupt' });
});

describe('what the server refuses is said in words', () => {
  const denied = (match: (seen: Seen) => boolean, code = 'AccessDenied', status = 403) => {
    proxy.faultOf = (seen) => (match(seen) ? { kind: 'answer', status, code } : undefined);
  };

  test.each<[string, () => void, string, RegExp]>([
    ['no LIST', () => denied(({ path: at }) => at.includes('list-type')), 'LocationDenied', /refuses LIST/],
    ['no PUT', () => denied(({ method }) => method === 'PUT'), 'LocationDenied', /refuses PUT/],
    [
      'expired credentials',
      () => denied(({ path: at }) => at.includes('/packs/'), 'ExpiredToken', 400),
      'LocationDenied',
      /have expired/,
    ],
    [
      'clock skew',
      () => denied(() => true, 'RequestTimeTooSkewed'),
      'LocationDenied',
      /clocks of this machine/,
    ],
    ['a full server', () => denied(({ method }) => method === 'PUT', 'StorageFull', 507), 'NoSpace', /full/],
  ])('%s', async (_, set, reason, message) => {
    const location = await at(freshUrl(), 0);
    set();
    const failure = await copy(location).catch((error: unknown) => error);
    expect(failure).toMatchObject({ reason, message: expect.stringMatching(message) });
    proxy.reset();
    expect(await listedArchives(location, '')).toEqual([]);
  });

  test('wrong credentials, and a bucket that does not exist', async () => {
    await expect(copy(await at('s3://nosuchbucket/x', 0))).rejects.toMatchObject({
      reason: 'LocationUnsuitable',
      message: expect.stringContaining('no such bucket'),
    });
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'wrong');
    try {
      await expect(copy(await at(freshUrl(), 0))).rejects.toMatchObject({ reason: 'LocationDenied' });
    } finally {
      vi.stubEnv('AWS_SECRET_ACCESS_KEY', server.env['AWS_SECRET_ACCESS_KEY']!);
    }
  });

  test('a certificate of an unknown authority, until it is passed', async () => {
    const file = (one: string) => path.join(box.root, one);
    execFileSync('openssl', [
      ...[
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-nodes',
        '-days',
        '2',
      ],
      ...['-subj', '/CN=test', '-addext', 'subjectAltName=IP:127.0.0.1'],
      ...['-keyout', file('tls.key'), '-out', file('tls.crt')],
    ]);
    const tls = { key: fs.readFileSync(file('tls.key')), cert: fs.readFileSync(file('tls.crt')) };
    await using secure = await S3Proxy.start(server.endpoint, tls);
    const url = freshUrl();
    const unknown = await at(url, 0, { endpoint: secure.endpoint });
    await expect(copy(unknown)).rejects.toMatchObject({
      reason: 'LocationUnavailable',
      message: expect.stringContaining('--ca-bundle'),
    });
    const known = await at(url, 0, { endpoint: secure.endpoint, caBundle: file('tls.crt') });
    expect(await copy(known)).toMatchObject({ outcome: 'copied' });
  });

  test('without DELETE copies are made and checked, and pruning says what it could not do', async () => {
    const location = await at(freshUrl(), 0);
    await copy(location);
    denied(({ method }) => method === 'DELETE');
    expect(await checkLocation(location)).toMatchObject({ deleteRefused: expect.stringContaining('DELETE') });
    box.clockAheadMs += 3_000;
    const next = (await box.back()).result.archive!.path;
    await copyTo(location, next);
    const report = await pruneAll(location);
    expect(report).toMatchObject({ pruned: [], failures: [expect.stringContaining('refuses DELETE')] });
    expect(await missingPacks(location)).toEqual([]);
    fs.rmSync(next);
    fs.rmSync(`${next}.manifest`);
  });
});

function pruneAll(location: Location, ahead = 3_600_000) {
  return pruneCopies({
    location,
    series: '',
    policy: keep(1),
    writer: writerOf(box.destination).id,
    takeOver: false,
    graceMs: 0,
    now: new Date(Date.now() + ahead),
    dryRun: false,
  });
}

test('a listing that goes on without saying where is not believed', async () => {
  const location = await at(freshUrl(), 0);
  await copy(location);
  proxy.faultOf = ({ path: at }) =>
    at.includes('list-type')
      ? {
          kind: 'edit-answer',
          edit: (body) => body.replace('<IsTruncated>false</IsTruncated>', '<IsTruncated>true</IsTruncated>'),
        }
      : undefined;
  await expect(pruneAll(location)).rejects.toThrow(/listing goes on, but not where/);
  proxy.reset();
  expect(await missingPacks(location)).toEqual([]);
});

test('every object is sent with its MD5, which buckets with object lock demand', async () => {
  await copy(await at(freshUrl(), 0));
  const puts = proxy.seen.filter(({ method }) => method === 'PUT');
  expect(puts.length).toBeGreaterThan(5);
  for (const { path: at, headers } of puts)
    expect([at, headers['content-md5']]).toEqual([at, expect.any(String)]);
});

test.each(['GOVERNANCE', 'COMPLIANCE'] as const)(
  'object lock (%s): deletes are refused and said, locks of packs that are used again are extended',
  async (objectLock) => {
    const url = freshUrl('locked');
    const location = await at(url, 0, { objectLock });
    const day = (days: number) => new Date(Date.now() + days * 86_400_000);
    await copyTo(location, archive, { packBytes: PACK_BYTES, retainUntil: day(1) });
    const packs = packPuts().map((one) => one.split('?')[0]);
    box.write('f/new', objectLock);
    box.clockAheadMs += 3_000;
    const next = (await box.back()).result.archive!.path;
    proxy.reset();
    await copyTo(location, next, { packBytes: PACK_BYTES, retainUntil: day(2) });
    const extended = proxy.seen
      .filter(({ path: at }) => at.includes('retention'))
      .map(({ path: at }) => at.split('?')[0]);
    const used = [...(await readList(location, '', path.basename(next)))!.packBytes.keys()];
    const reused = packs.filter((pack) => used.some((one) => pack!.endsWith(one)));
    expect(reused.length).toBeGreaterThan(0);
    expect(extended.sort()).toEqual(reused.sort());
    const report = await pruneAll(location);
    expect(report).toMatchObject({ pruned: [], failures: [expect.stringMatching(/object locks/)] });
    expect(await missingPacks(location)).toEqual([]);

    // What the server itself says of a pack, and to somebody who insists.
    const client = server.client();
    const [, Bucket = '', Key = ''] = /^\/([^/]+)\/(.+)$/.exec(reused[0]!)!;
    const { Retention } = await client.send(new GetObjectRetentionCommand({ Bucket, Key }));
    expect(Retention?.Mode).toBe(objectLock);
    expect(Math.abs(Retention!.RetainUntilDate!.getTime() - day(2).getTime())).toBeLessThan(600_000);
    const insisting = client.send(
      new DeleteObjectCommand({ Bucket, Key, BypassGovernanceRetention: objectLock === 'COMPLIANCE' }),
    );
    await expect(insisting).rejects.toMatchObject({ $metadata: { httpStatusCode: 403 } });
    client.destroy();
    expect(await missingPacks(location)).toEqual([]);
    fs.rmSync(next);
    fs.rmSync(`${next}.manifest`);
  },
);
