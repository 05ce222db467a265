import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FakeClock } from '../clock/testing/fake-clock.ts';
import type { Logger } from '../log/index.ts';
import { COPY_STATE_NAME, Copier, type Ended } from './copier.ts';

const settings = { to: 's3://b/p', recipients: ['age1x'], retentionLimit: 3, pathStyle: true };
const logger = { info: () => {}, warn: () => {}, error: () => {} } as unknown as Logger;
const copied: Ended = {
  status: 0,
  out: '{"archive":"a.tgz","uploadedBytes":10,"reusedBytes":90}\n',
  err: '',
};
const failed: Ended = { status: 1, out: '', err: 'km-backup: s3://b/p: PUT x failed\n' };
const fine: Ended = { status: 0, out: '', err: '' };

let destination: string;
let clock: FakeClock;
let calls: (readonly string[])[];
let answers: Ended[];
beforeEach(() => {
  destination = mkdtempSync(path.join(os.tmpdir(), 'km-copier-'));
  clock = new FakeClock();
  calls = [];
  answers = [];
});
afterEach(() => rmSync(destination, { recursive: true, force: true }));

function copier(): Copier {
  return new Copier({
    settings,
    destination,
    clock,
    logger,
    run: async (args) => {
      calls.push(args);
      return answers.shift() ?? fine;
    },
    onChange: () => {},
  });
}
const settle = () => clock.advanceAsync(0).then(() => new Promise((resolve) => setImmediate(resolve)));

test('copies the newest archive, then applies retention, and remembers both', async () => {
  answers = [copied];
  const one = copier();
  expect(one.check()).toEqual({ status: 'pending', location: 's3://b/p' });
  one.request();
  expect(one.check().status).toBe('copying');
  await settle();
  expect(calls).toEqual([
    expect.arrayContaining(['copy', '--newest', 's3://b/p', '--path-style', '--recipient', 'age1x']),
    expect.arrayContaining(['prune', 's3://b/p', '--retention-limit', '3']),
  ]);
  expect(one.check()).toMatchObject({ status: 'ok', archive: 'a.tgz' });
  expect(copier().check()).toMatchObject({ status: 'ok', archive: 'a.tgz' });
  expect(JSON.parse(readFileSync(path.join(destination, COPY_STATE_NAME), 'utf8'))).toMatchObject({
    success: 1,
    uploadedBytes: 10,
    reusedBytes: 90,
  });
});

test('a failure is tried again later and later, and by the next backup at once', async () => {
  answers = [failed, failed, failed, copied];
  const one = copier();
  one.request();
  await settle();
  expect(one.check()).toMatchObject({ status: 'error', error: 's3://b/p: PUT x failed' });
  await clock.advanceAsync(59_000);
  expect(calls).toHaveLength(1);
  await clock.advanceAsync(2_000);
  await settle();
  expect(calls).toHaveLength(2);
  await clock.advanceAsync(100_000);
  expect(calls).toHaveLength(2);
  await clock.advanceAsync(30_000);
  await settle();
  expect(calls).toHaveLength(3);
  one.request();
  await settle();
  expect(one.check()).toMatchObject({ status: 'ok' });
  expect(one.check()).not.toHaveProperty('error');
  const before = calls.length;
  await clock.advanceAsync(10_000_000);
  expect(calls).toHaveLength(before);
});

test('requests during a copy lead to one more', async () => {
  answers = [copied, fine, copied];
  const one = copier();
  for (let at = 0; at < 3; at++) one.request();
  await settle();
  await settle();
  expect(calls.filter(([verb]) => verb === 'copy')).toHaveLength(2);
});

test('after its end nothing is copied', async () => {
  const one = copier();
  await one.stop();
  one.request();
  await settle();
  expect(calls).toEqual([]);
});
