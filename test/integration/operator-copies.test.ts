/** Copies and checks of locations against a real API server and Job controller; pods end as a stub says. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { KmBackupLocation } from '../../src/api/location.ts';
import type { CheckResult, CopyResult } from '../../src/api/location-result.ts';
import { API_VERSION, LABELS } from '../../src/api/names.ts';
import { type Kill, runKills, startToKill } from '../support/kills.ts';
import { eventually } from '../support/kubectl.ts';
import { inScene, type OperatorScene } from '../support/operator-scene.ts';
import { type Container, runContainer } from '../support/run-container.ts';
import { KEYS, S3Server } from '../support/s3-server.ts';
import { cleanResult, type StubKubeletOptions, type StubReport } from '../support/stub-kubelet.ts';

const AGE = { age: { recipients: [`age1${'q'.repeat(58)}`] } };
const S3 = { bucket: 'backups', credentialsSecretRef: { name: 'keys' } };
const ARCHIVE = 'km-backup-20260301T010000Z.tgz';

const times = () => ({ startedAt: new Date().toISOString(), finishedAt: new Date().toISOString() });

const checked = (locationId: string): CheckResult => ({
  version: 1,
  command: 'check',
  outcome: 'Succeeded',
  reason: 'LocationChecked',
  message: `s3://backups: location ${locationId}.`,
  ...times(),
  locationId,
  usage: { archives: 1, objects: 9, bytes: 900 },
});

const copied = (more: Partial<CopyResult> = {}): CopyResult => ({
  version: 1,
  command: 'copy',
  outcome: 'Succeeded',
  reason: 'CopyConfirmed',
  message: `Copied ${ARCHIVE} to s3://backups.`,
  ...times(),
  archive: ARCHIVE,
  confirmed: [ARCHIVE],
  uploadedBytes: 1000,
  reusedBytes: 10,
  pruned: { count: 0, failed: 0, names: [] },
  present: { count: 1, bytes: 1010 },
  foreign: 0,
  warnings: { count: 0, samples: [] },
  ...more,
});

type Report = NonNullable<StubKubeletOptions['report']>;
const componentOf = (pod: Parameters<Report>[0]) => pod.metadata.labels?.[LABELS.component];

/** Everything works, unless a test has another answer for one kind of pod. */
function kubelet(answers: { copy?: () => StubReport; check?: () => StubReport } = {}): Report {
  return (pod) => {
    switch (componentOf(pod)) {
      case 'copy':
        return answers.copy?.() ?? { exitCode: 0, result: copied() };
      case 'location-check':
        return answers.check?.() ?? { exitCode: 0, result: checked('id-1') };
      default:
        return { exitCode: 0, result: cleanResult(ARCHIVE) };
    }
  };
}

function locate(scene: OperatorScene, name: string, spec: object = {}): Promise<KmBackupLocation> {
  return scene.all.locations.create(scene.namespace, {
    apiVersion: API_VERSION,
    kind: 'KmBackupLocation',
    metadata: { name },
    spec: { s3: S3, encryption: AGE, ...spec },
  });
}

const locationUntil = (
  scene: OperatorScene,
  name: string,
  holds: (status: NonNullable<KmBackupLocation['status']>) => boolean,
) =>
  eventually(
    () => scene.all.locations.get(scene.namespace, name),
    ({ status }) => status !== undefined && holds(status),
    (last) => `KmBackupLocation ${name}: ${JSON.stringify(last?.status)}`,
  );

const availableIs = (wanted: string) => (status: NonNullable<KmBackupLocation['status']>) =>
  status.conditions?.find(({ type }) => type === 'Available')?.status === wanted;

const copyIs =
  (wanted: string, location = 'offsite') =>
  ({ status }: { status?: { copies?: { location: string; phase: string }[] | undefined } | undefined }) =>
    status?.copies?.some((copy) => copy.location === location && copy.phase === wanted) === true;

const COPIES = { copies: [{ locationRef: { name: 'offsite' } }] };

describe('copies of a schedule', () => {
  it(
    'follow a run, and are recorded at the schedule, the run and the location',
    inScene(async (scene) => {
      await scene.operator();
      await scene.kubelet(kubelet());
      await locate(scene, 'offsite');
      const found = await locationUntil(scene, 'offsite', availableIs('True'));
      expect(found.status).toMatchObject({
        url: 's3://backups',
        locationId: 'id-1',
        usage: { archives: 1, objects: 9, bytes: 900 },
        checks: 1,
        failures: 0,
        observedGeneration: 1,
      });
      await scene.schedule('notes', COPIES);
      const run = await scene.runNow('notes');
      expect((await scene.finished(run)).status?.phase).toBe('Succeeded');
      const { status } = await scene.scheduleUntil('notes', copyIs('Copied'));
      expect(status?.copies).toMatchObject([
        { location: 'offsite', backup: run, archive: ARCHIVE, uploadedBytes: 1000, copied: 1, attempts: 1 },
      ]);
      expect(status?.conditions).toContainEqual(
        expect.objectContaining({ type: 'Copied', status: 'True', reason: 'CopyConfirmed' }),
      );
      const record = await scene.backupUntil(run, ({ copies }) => copies?.[0]?.phase === 'Copied');
      expect(record.status).toMatchObject({ phase: 'Succeeded', archive: { name: ARCHIVE } });
      await locationUntil(scene, 'offsite', ({ lastCopyTime }) => lastCopyTime !== undefined);
    }),
  );

  it(
    'that fail leave the run a success, and succeed with the next run',
    inScene(async (scene) => {
      let fails = true;
      await scene.operator();
      await scene.kubelet(
        kubelet({
          copy: () =>
            fails
              ? {
                  exitCode: 1,
                  result: copied({
                    outcome: 'Failed',
                    reason: 'LocationUnavailable',
                    message: 'away',
                    confirmed: [],
                  }),
                }
              : { exitCode: 0, result: copied() },
        }),
      );
      await locate(scene, 'offsite');
      await locationUntil(scene, 'offsite', availableIs('True'));
      await scene.schedule('notes', COPIES);
      const run = await scene.runNow('notes');
      const { status } = await scene.scheduleUntil('notes', copyIs('Failed'));
      expect(status?.copies).toMatchObject([{ reason: 'LocationUnavailable', failures: 1, failed: 1 }]);
      expect(status?.runs).toMatchObject({ succeeded: 1, failed: 0 });
      expect((await scene.finished(run)).status).toMatchObject({ phase: 'Succeeded' });
      // A failure of that kind has the location checked at once.
      await locationUntil(scene, 'offsite', ({ checks }) => (checks ?? 0) >= 2);
      fails = false;
      await scene.runNow('notes', 'second');
      await scene.scheduleUntil('notes', copyIs('Copied'));
    }),
  );

  it(
    'wait for a location that does not exist yet, and start when it does',
    inScene(async (scene) => {
      await scene.operator();
      await scene.kubelet(kubelet());
      await scene.schedule('notes', COPIES);
      await scene.runNow('notes');
      const waiting = await scene.scheduleUntil(
        'notes',
        ({ status }) => status?.copies?.[0]?.waitingSince !== undefined,
      );
      expect(waiting.status?.copies).toMatchObject([{ phase: 'Failed', reason: 'NoSuchLocation' }]);
      await locate(scene, 'offsite');
      await scene.scheduleUntil('notes', copyIs('Copied'));
    }),
  );

  it(
    'go away with the schedule, and with spec.copies; the location stays',
    inScene(async (scene) => {
      await scene.operator();
      await scene.kubelet(kubelet());
      await locate(scene, 'offsite');
      await scene.schedule('notes', COPIES);
      await scene.runNow('notes');
      await scene.scheduleUntil('notes', copyIs('Copied'));
      await scene.all.schedules.mergePatch(scene.namespace, 'notes', { spec: { copies: null } });
      await scene.scheduleUntil('notes', ({ status }) => status?.copies === undefined);
      await eventually(
        () => scene.jobs(),
        (jobs) => jobs.every(({ metadata }) => metadata.labels?.[LABELS.component] !== 'copy'),
        () => 'no Job of a copy',
      );
    }),
  );
});

describe('a location', () => {
  it(
    'that is pointed at another bucket is refused until its id is accepted',
    inScene(async (scene) => {
      const ids: string[] = [];
      await scene.operator();
      await scene.kubelet((pod) => {
        if (componentOf(pod) !== 'location-check') return kubelet()(pod);
        const args =
          (pod as { spec?: { containers?: { args?: string[] }[] } }).spec?.containers?.[0]?.args ?? [];
        const expected = args.find((arg) => arg.startsWith('--expect-id='))?.slice('--expect-id='.length);
        ids.push(expected ?? 'init');
        const actual = args.at(-1) === 's3://other' ? 'id-2' : 'id-1';
        if (expected === undefined || expected === actual) return { exitCode: 0, result: checked(actual) };
        const failed = { outcome: 'Failed', reason: 'LocationUnsuitable', message: 'not the one' } as const;
        return { exitCode: 1, result: { ...checked(actual), ...failed } };
      });
      await locate(scene, 'offsite');
      await locationUntil(scene, 'offsite', availableIs('True'));
      const point = (spec: object) => scene.all.locations.mergePatch(scene.namespace, 'offsite', { spec });
      await point({ s3: { bucket: 'other' } });
      const lost = await locationUntil(scene, 'offsite', availableIs('False'));
      expect(lost.status).toMatchObject({ locationId: 'id-1', observedGeneration: 2 });
      expect(lost.status?.conditions?.[0]).toMatchObject({ reason: 'LocationUnsuitable' });
      await point({ expectedId: 'id-2' });
      const accepted = await locationUntil(scene, 'offsite', availableIs('True'));
      expect(accepted.status).toMatchObject({ locationId: 'id-2', observedGeneration: 3 });
      expect(ids).toEqual(['init', 'id-1', 'id-2']);
    }),
  );

  it(
    'whose server cannot be reached says why, copies nothing meanwhile, and is available once it can',
    inScene(async (scene) => {
      await using server = await S3Server.start('versitygw');
      await server.createBucket('backups');
      const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'km-unreachable-'));
      let copies = 0;
      try {
        await scene.operator();
        // The check of a location is the real program, with the command line of its Job.
        await scene.kubelet(async (pod) => {
          if (componentOf(pod) === 'copy') copies++;
          if (componentOf(pod) !== 'location-check') return kubelet()(pod);
          const [container] = pod.spec.containers;
          const result = (await runContainer(container as Container, {
            folder,
            secrets: KEYS,
          })) as CheckResult;
          return { exitCode: result.outcome === 'Succeeded' ? 0 : 1, result };
        });
        const at = (endpoint: string) => ({ s3: { ...S3, endpoint, forcePathStyle: true } });
        await locate(scene, 'offsite', at('http://127.0.0.1:1'));
        const away = await locationUntil(scene, 'offsite', availableIs('False'));
        expect(away.status?.conditions?.[0]).toMatchObject({
          reason: 'LocationUnavailable',
          message: expect.stringMatching(/s3:\/\/backups: .* failed \(.*ECONNREFUSED.*\)/),
        });
        await scene.all.locations.mergePatch(scene.namespace, 'offsite', { spec: at(server.endpoint) });
        const back = await locationUntil(scene, 'offsite', availableIs('True'));
        expect(back.status).toMatchObject({ locationId: expect.any(String), observedGeneration: 2 });
        expect(copies).toBe(0);
      } finally {
        fs.rmSync(folder, { recursive: true, force: true });
      }
    }),
  );

  it(
    'whose Job the API server refuses is not available, and is checked again',
    inScene(async (scene) => {
      const quota = scene.core('resourcequotas', 'ResourceQuota');
      await quota.create(scene.namespace, {
        apiVersion: 'v1',
        kind: 'ResourceQuota',
        metadata: { name: 'none' },
        spec: { hard: { 'count/jobs.batch': '0' } },
      });
      await eventually(
        () => quota.get(scene.namespace, 'none'),
        (made) => (made as { status?: { hard?: object } }).status?.hard !== undefined,
        () => 'the quota in force',
      );
      await scene.operator();
      await locate(scene, 'offsite');
      const { status } = await locationUntil(scene, 'offsite', availableIs('False'));
      expect(status?.conditions?.[0]).toMatchObject({ reason: 'JobForbidden' });
      expect(status?.conditions?.[0]?.message).toContain('quota');
    }),
  );
});

describe('an operator killed at a write', () => {
  const run = inScene(async (scene, kill: Kill | undefined): Promise<number> => {
    const { proxy, file } = await scene.proxied();
    await scene.kubelet(kubelet());
    // Events may come at any time, or not at all.
    const counts = (path: string) => !path.includes('/events');
    const operator = startToKill(proxy, () => scene.spawnOperator({ kubeconfig: file }), kill, counts);
    await locate(scene, 'offsite');
    await scene.schedule('notes', COPIES);
    const name = await scene.runNow('notes');
    const settled = async () => {
      const { status } = await scene.scheduleUntil('notes', copyIs('Copied'));
      await scene.backupUntil(name, ({ copies }) => copies?.[0]?.phase === 'Copied');
      await locationUntil(scene, 'offsite', ({ lastCopyTime }) => lastCopyTime !== undefined);
      return status;
    };
    const end = settled();
    await operator.startedAgain(end);
    expect((await end)?.copies).toMatchObject([{ copied: 1, attempts: 1, uploadedBytes: 1000 }]);
    const names = (await scene.jobs()).map(({ metadata }) => metadata.labels?.[LABELS.component]).sort();
    expect(names).toEqual(['backup', 'copy', 'location-check']);
    // One run, one check and one copy, whatever happened.
    expect(scene.jobsEverMade).toHaveLength(3);
    return operator.writes.length;
  });

  it('makes one check and one copy, whichever write it was', async () => {
    const writes = await run(undefined);
    expect(await runKills({ writes, parallel: 4 }, run)).toEqual([]);
  }, 900_000);
});
