/** Retention of copies: what goes, what must never go, and who may say so. */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openForCopies, openKnownLocation } from '../../src/offsite/open-for-copies.ts';
import { type PruneCopiesReport, pruneCopies } from '../../src/offsite/prune.ts';
import { listedArchives } from '../../src/offsite/stored-archives.ts';
import { verifyCopies } from '../../src/offsite/verify.ts';
import { writerOf } from '../../src/offsite/writer-state.ts';
import { Sandbox } from '../support/backup.ts';
import { CountingLocation, copyTo } from '../support/copies.ts';

const HOUR = 3_600_000;
const SERIES = 'shop/nightly';

/** A destination and what its copies have in common. */
class Cluster {
  readonly box = new Sandbox();

  readonly location: CountingLocation;

  constructor(location: CountingLocation) {
    this.location = location;
    for (let file = 0; file < 40; file++) this.box.write(`f${file}`, randomBytes(5_000));
  }

  async copyNext(): Promise<string> {
    this.box.write('changed', randomBytes(60_000));
    this.box.clockAheadMs += 3_000;
    const { result } = await this.box.back({ series: SERIES });
    await copyTo(this.location, result.archive!.path, { packBytes: 50_000 });
    return path.basename(result.archive!.path);
  }

  /** @param hours from now */
  prune(hours: number, limit = 1, takeOver = false): Promise<PruneCopiesReport> {
    return pruneCopies({
      location: this.location,
      series: SERIES,
      policy: { limit },
      writer: writerOf(this.box.destination).id,
      takeOver,
      graceMs: 24 * HOUR,
      now: new Date(Date.now() + hours * HOUR),
      dryRun: false,
    });
  }
}

let root: Sandbox;
let location: CountingLocation;
let a: Cluster;
let b: Cluster;
beforeEach(() => {
  root = new Sandbox();
  location = new CountingLocation(path.join(root.root, 'location'));
  a = new Cluster(location);
  b = new Cluster(location);
  // Their archives get different names.
  b.box.clockAheadMs = 1_000;
});
afterEach(() => {
  for (const box of [root, a.box, b.box]) box[Symbol.dispose]();
});

async function damaged(): Promise<string[]> {
  const copies = await listedArchives(location, SERIES);
  const problems: string[] = [];
  for await (const { problem } of verifyCopies(copies, { location, deep: true }))
    if (problem) problems.push(problem);
  return problems;
}
const names = async () => (await listedArchives(location, SERIES)).map(({ archive }) => archive);

test('packs go only when they were unused for the grace time', async () => {
  await a.copyNext();
  const kept = await a.copyNext();
  const first = await a.prune(1);
  expect(first).toMatchObject({ pruned: [expect.any(String)], sweptPacks: 0, notSwept: undefined });
  expect(first.deadPacks).toBeGreaterThan(0);
  expect(await a.prune(20)).toMatchObject({ sweptPacks: 0 });
  expect(await a.prune(26)).toMatchObject({ sweptPacks: first.deadPacks, deadPacks: 0 });
  expect([await names(), await damaged()]).toEqual([[kept], []]);
});

test('the newest complete copy is never removed', async () => {
  const only = await a.copyNext();
  const report = await pruneCopies({
    location,
    series: SERIES,
    policy: { limit: 0, maxAgeMs: 1 },
    writer: writerOf(a.box.destination).id,
    takeOver: false,
    graceMs: 0,
    now: new Date(Date.now() + 1000 * HOUR),
    dryRun: false,
  });
  expect([report.pruned, await names()]).toEqual([[], [only]]);
});

test.each([
  ['of its own writer', false],
  ['of someone who took over', true],
])(
  'packs of a copy that was stopped survive a sweep %s once the next copy uses them',
  async (_, takeOver) => {
    await a.copyNext();
    let left = 2;
    location.before = (verb, key) => {
      if (verb === 'put' && key.startsWith('packs/') && left-- === 0) throw new Error('killed');
    };
    for (let file = 0; file < 40; file++) a.box.write(`f${file}`, randomBytes(5_000));
    a.box.clockAheadMs += 3_000;
    const archive = (await a.box.back({ series: SERIES })).result.archive!.path;
    await expect(copyTo(location, archive, { packBytes: 50_000, uploads: 1 })).rejects.toThrow('killed');
    location.before = () => {};
    expect((await a.prune(1, 5, takeOver)).deadPacks).toBe(2);
    await copyTo(location, archive, { packBytes: 50_000 });
    await a.prune(30, 5, takeOver);
    expect(await damaged()).toEqual([]);
  },
);

describe('two clusters that write one series', () => {
  test('prune their own copies, and neither loses a pack that a list names', async () => {
    for (const cluster of [a, b, a, b]) await cluster.copyNext();
    for (const hours of [1, 30]) {
      for (const cluster of [a, b]) {
        expect(await cluster.prune(hours)).toMatchObject({ notSwept: undefined, failures: [] });
        expect(await damaged()).toEqual([]);
      }
    }
    expect(await names()).toHaveLength(2);
    expect(await a.prune(40)).toMatchObject({ foreign: 1 });
  });

  test('are told so when their archives have the same name', async () => {
    b.box.clockAheadMs = 0;
    const now = new Date(Date.now() + 3_000);
    const [one, other] = await Promise.all(
      [a, b].map(({ box }) => box.back({ series: SERIES, now: () => now })),
    );
    await copyTo(location, one!.result.archive!.path);
    await expect(copyTo(location, other!.result.archive!.path)).rejects.toThrow(
      /two clusters copy to one place/,
    );
    expect(await damaged()).toEqual([]);
  });

  test('with --take-over the copies of both are one set', async () => {
    for (const cluster of [a, b]) await cluster.copyNext();
    fs.rmSync(path.join(a.box.destination, '.km-backup-salt'));
    const kept = await a.copyNext();
    expect(await a.prune(1, 1, true)).toMatchObject({ foreign: 0 });
    const report = await a.prune(30, 1, true);
    expect(report.sweptPacks).toBeGreaterThan(0);
    expect([await names(), await damaged()]).toEqual([[kept], []]);
  });
});

describe('what keeps a sweep from deleting', () => {
  const stopped = async (expected: RegExp) => {
    await a.prune(1, 5);
    const packs = fs.readdirSync(path.join(root.root, 'location/packs', SERIES)).length;
    const report = await a.prune(100, 5);
    expect(report).toMatchObject({ sweptPacks: 0, notSwept: expect.stringMatching(expected) });
    expect(fs.readdirSync(path.join(root.root, 'location/packs', SERIES))).toHaveLength(packs);
  };

  test('a listing that leaves out a list', async () => {
    const hidden = await a.copyNext();
    await a.copyNext();
    const all = location.list.bind(location);
    location.list = async function* (prefix) {
      for await (const object of all(prefix)) if (!object.key.endsWith(`${hidden}.list`)) yield object;
    };
    await stopped(/left out 1 copies/);
  });

  test('a list that is damaged', async () => {
    const bad = await a.copyNext();
    await a.copyNext();
    fs.truncateSync(path.join(root.root, 'location/archives', SERIES, `${bad}.list`), 100);
    await stopped(/cannot be read/);
  });

  test('a lost catalog, once', async () => {
    await a.copyNext();
    fs.rmSync(path.join(root.root, 'location/archives', SERIES, `${writerOf(a.box.destination).id}.catalog`));
    expect(await a.prune(1, 5)).toMatchObject({ notSwept: expect.stringMatching(/catalog .* missing/) });
    expect(await a.prune(2, 5)).toMatchObject({ notSwept: undefined });
  });
});

test('a listing that repeats what it said deletes nothing that is in use', async () => {
  await a.copyNext();
  await a.copyNext();
  const all = location.list.bind(location);
  location.list = async function* (prefix) {
    yield* all(prefix);
    yield* all(prefix);
  };
  await a.prune(1);
  await a.prune(30);
  expect(await damaged()).toEqual([]);
});

test('a location that was emptied or exchanged is refused until it is accepted', async () => {
  const open = (isNew = false) =>
    openForCopies(location, a.box.destination, { isNew, now: () => new Date('2026-01-01T00:00:00Z') });
  await a.copyNext();
  const id = await open();
  expect(await open()).toBe(id);
  fs.rmSync(path.join(root.root, 'location'), { recursive: true });
  await expect(openKnownLocation(location, a.box.destination)).rejects.toThrow(/was there before/);
  expect(fs.existsSync(path.join(root.root, 'location'))).toBe(false);
  await expect(open()).rejects.toMatchObject({
    reason: 'LocationUnsuitable',
    message: expect.stringContaining('was there before'),
  });
  await b.copyNext();
  await expect(open()).rejects.toThrow(/not the location it was/);
  expect(await open(true)).not.toBe(id);
});
