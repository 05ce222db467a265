/** The command lines that the operator gives to Jobs, run against a real S3 server. */
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { KmBackupScheduleSpec } from '../../src/api/backup-schedule.ts';
import { type KmBackupLocation, KmBackupLocationSpec } from '../../src/api/location.ts';
import { CheckResult, CopyResult } from '../../src/api/location-result.ts';
import { generateKeyPair } from '../../src/offsite/index.ts';
import { buildCheckJob, buildCopyJob } from '../../src/operator/location/jobs.ts';
import { Sandbox } from '../support/backup.ts';
import { type Container, runContainer } from '../support/run-container.ts';
import { KEYS, S3Server } from '../support/s3-server.ts';

const settings = { image: 'km:1', imagePullPolicy: 'IfNotPresent', allowScripts: false } as const;

let box: Sandbox;
let server: S3Server;
let location: KmBackupLocation;
beforeAll(async () => {
  box = new Sandbox();
  box.clockAheadMs = -600_000;
  server = await S3Server.start('versitygw');
  await server.createBucket('backups', true);
  const { recipient } = await generateKeyPair();
  location = {
    apiVersion: 'km.duskmantle.io/v1alpha1',
    kind: 'KmBackupLocation',
    metadata: {
      name: 'offsite',
      namespace: 'team',
      uid: 'uid-offsite',
      resourceVersion: '1',
      creationTimestamp: '2026-03-01T00:00:00Z',
    },
    spec: KmBackupLocationSpec.parse({
      s3: {
        bucket: 'backups',
        prefix: 'clusters/a',
        endpoint: server.endpoint,
        forcePathStyle: true,
        credentialsSecretRef: { name: 'keys' },
      },
      encryption: { age: { recipients: [recipient] } },
      objectLock: { days: 1 },
      bandwidthLimit: '50Mi',
    }),
  };
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  box?.[Symbol.dispose]();
});

function runJob(job: ReturnType<typeof buildCheckJob>): Promise<unknown> {
  const [container] = job.spec.template.spec!.containers;
  return runContainer(container as Container, {
    folder: box.root,
    secrets: KEYS,
    destination: box.destination,
  });
}

const check = async () =>
  CheckResult.parse(await runJob(buildCheckJob(location, settings, { tolerations: [] })));

async function copy(): Promise<CopyResult> {
  const schedule = {
    apiVersion: 'km.duskmantle.io/v1alpha1',
    kind: 'KmBackupSchedule' as const,
    metadata: { ...location.metadata, name: 'notes', uid: 'uid-notes' },
    spec: KmBackupScheduleSpec.parse({
      source: { persistentVolumeClaim: { claimName: 'state' } },
      retention: { limit: 2, keepDaily: 3, maxAge: '30d' },
    }),
  };
  const job = buildCopyJob(
    {
      schedule,
      spec: { locationRef: { name: 'offsite' } },
      location,
      attempt: 1,
      backup: 'notes-1',
      placement: { tolerations: [] },
      source: undefined,
    },
    settings,
  );
  return CopyResult.parse(await runJob(job));
}

test('a location is made and known again, archives are copied, and a bucket that is away is named', async () => {
  const first = await check();
  expect(first).toMatchObject({ outcome: 'Succeeded', reason: 'LocationChecked' });
  location = { ...location, status: { locationId: first.locationId!, checks: 1 } };
  expect(await check()).toMatchObject({ outcome: 'Succeeded', locationId: first.locationId });
  const names: string[] = [];
  for (const content of ['a', 'b', 'c']) {
    box.write('file', content.repeat(5000));
    box.clockAheadMs += 5_000;
    const { result } = await box.back({ series: 'team/notes' });
    names.unshift(path.basename(result.archive!.path));
    const copied = await copy();
    expect(copied).toMatchObject({ outcome: 'Succeeded', archive: names[0], foreign: 0 });
    expect(copied.uploadedBytes).toBeGreaterThan(0);
  }
  // The third copy pushed the first one out; the lock keeps it, and that is said.
  const last = await copy();
  expect(last).toMatchObject({ outcome: 'Succeeded', pruned: { count: 0 } });
  expect(last.warnings.samples.join()).toContain('not deleted');
  const { usage } = await check();
  expect(usage).toMatchObject({ archives: 3 });
  const there = location.spec.s3!;
  location = { ...location, spec: { ...location.spec, s3: { ...there, endpoint: 'http://127.0.0.1:1' } } };
  expect(await check()).toMatchObject({ outcome: 'Failed', reason: 'LocationUnavailable' });
  expect(await copy()).toMatchObject({ outcome: 'Failed', reason: 'LocationUnavailable', confirmed: [] });
});
