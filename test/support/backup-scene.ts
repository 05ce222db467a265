/** A cluster in the middle of its life, as plain resources: for the status page and what else shows the state of backups. */
import type { KmBackup, KmBackupStatus } from '../../src/api/backup.ts';
import { type KmBackupSchedule, KmBackupScheduleSpec } from '../../src/api/backup-schedule.ts';
import { type KmBackupLocation, KmBackupLocationSpec } from '../../src/api/location.ts';
import { API_VERSION } from '../../src/api/names.ts';
import { type KmRestore, KmRestoreSpec, type KmRestoreStatus } from '../../src/api/restore.ts';
import type { Records } from '../../src/overview/index.ts';

export const SCENE_NOW = Date.parse('2026-03-20T12:30:00Z');
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const MIB = 1024 ** 2;

const rfc = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;
const meta = (namespace: string, name: string, createdMs: number) => ({
  namespace,
  name,
  uid: `uid-${namespace}-${name}`,
  resourceVersion: '1',
  generation: 1,
  creationTimestamp: rfc(createdMs),
});

/** The same numbers for the same seed, from 0 to 1. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

interface Life {
  namespace: string;
  name: string;
  claim: string;
  /** Claim of the archives, if it is another. */
  archives?: string;
  cron: string;
  /** Hours between runs. */
  every: number;
  /** Minutes after midnight of the first run of a day. */
  at?: number;
  sizeMib: number;
  /** Days of records. */
  days?: number;
  suspend?: boolean;
  copies?: 'fresh' | 'failed';
  /** What became of the runs, counted from the last; a run that is not named succeeded. */
  ends?: Readonly<Record<number, Pick<KmBackupStatus, 'phase' | 'reason' | 'message'>>>;
  running?: boolean;
  unready?: { reason: string; message: string };
}

const failure = (reason: string, message: string) => ({ phase: 'Failed' as const, reason, message });
const incomplete = (message: string) => ({
  phase: 'Incomplete' as const,
  reason: 'FilesNotCaptured',
  message,
});

const LIVES: readonly Life[] = [
  {
    namespace: 'shop',
    name: 'orders-db',
    claim: 'orders-postgres',
    archives: 'backups',
    cron: '0 */6 * * *',
    every: 6,
    sizeMib: 4_200,
    copies: 'fresh',
    ends: {
      0: failure(
        'NoSpace',
        'The destination is full: /destination has 112 MiB free, and the archive needs about 4.1 GiB. No archive was removed to make room.',
      ),
      1: failure(
        'NoSpace',
        'The destination is full: /destination has 96 MiB free, and the archive needs about 4.1 GiB. No archive was removed to make room.',
      ),
    },
  },
  {
    namespace: 'shop',
    name: 'media',
    claim: 'product-images',
    archives: 'backups',
    cron: '30 1 * * *',
    every: 24,
    at: 90,
    sizeMib: 61_000,
    copies: 'failed',
    ends: {
      9: { phase: 'Skipped', reason: 'Locked', message: 'Another run holds the lock of the destination.' },
    },
  },
  {
    namespace: 'shop',
    name: 'sessions',
    claim: 'sessions-redis',
    cron: '0 * * * *',
    every: 1,
    sizeMib: 38,
    days: 6,
    running: true,
  },
  {
    namespace: 'knowledge',
    name: 'gateway',
    claim: 'km-state',
    archives: 'km-archives',
    cron: '0 2 * * *',
    every: 24,
    at: 120,
    sizeMib: 940,
    copies: 'fresh',
    ends: {
      12: failure(
        'Disrupted',
        'The pod gateway-29xk1 on node worker-2 was evicted: The node was low on resource: memory.',
      ),
    },
  },
  {
    namespace: 'knowledge',
    name: 'vectors',
    claim: 'qdrant-storage',
    archives: 'km-archives',
    cron: '30 2 * * *',
    every: 24,
    at: 150,
    sizeMib: 12_800,
    copies: 'fresh',
    ends: {
      0: incomplete(
        '2 files are not captured faithfully: collections/notes/0/wal/open-9 changed while read in 3 attempts.',
      ),
      1: incomplete('1 file is not captured faithfully.'),
    },
  },
  {
    namespace: 'platform',
    name: 'gitea',
    claim: 'gitea-data',
    archives: 'backups',
    cron: '15 3 * * *',
    every: 24,
    at: 195,
    sizeMib: 7_300,
    copies: 'fresh',
  },
  {
    namespace: 'platform',
    name: 'grafana',
    claim: 'grafana-data',
    archives: 'backups',
    cron: '20 3 * * *',
    every: 24,
    at: 200,
    sizeMib: 84,
    copies: 'fresh',
  },
  {
    namespace: 'platform',
    name: 'registry',
    claim: 'registry-blobs',
    archives: 'backups',
    cron: '0 4 * * 0',
    every: 168,
    at: 240,
    sizeMib: 182_000,
    unready: {
      reason: 'ClaimNotFound',
      message:
        'There is no PersistentVolumeClaim registry-blobs in namespace platform. Create it, or name another in the schedule.',
    },
  },
  { namespace: 'platform', name: 'vault', claim: 'vault-data', cron: '0 */4 * * *', every: 4, sizeMib: 12 },
  {
    namespace: 'home',
    name: 'photos',
    claim: 'photoprism',
    archives: 'nas',
    cron: '0 5 * * *',
    every: 24,
    at: 300,
    sizeMib: 210_000,
    copies: 'fresh',
  },
  {
    namespace: 'home',
    name: 'paperless',
    claim: 'paperless-data',
    archives: 'nas',
    cron: '10 5 * * *',
    every: 24,
    at: 310,
    sizeMib: 3_100,
    copies: 'fresh',
  },
  {
    namespace: 'home',
    name: 'home-assistant',
    claim: 'home-assistant-config',
    archives: 'nas',
    cron: '20 5 * * *',
    every: 24,
    at: 320,
    sizeMib: 640,
    copies: 'fresh',
  },
  {
    namespace: 'home',
    name: 'minecraft',
    claim: 'minecraft-world',
    archives: 'nas',
    cron: '0 6 * * *',
    every: 24,
    at: 360,
    sizeMib: 5_400,
    suspend: true,
  },
  {
    namespace: 'ci',
    name: 'build-cache',
    claim: 'ccache',
    cron: '45 3 * * *',
    every: 24,
    at: 225,
    sizeMib: 22_000,
    days: 7,
    ends: {
      4: failure('ImagePullBackOff', 'Back-off pulling image "registry.example/km-backup-operator:0.9"'),
    },
  },
];

function runsOf(life: Life, next: () => number): KmBackup[] {
  const { namespace, name, every, at = 0, days = 30, ends = {}, sizeMib, claim, archives = claim } = life;
  const midnight = Math.floor(SCENE_NOW / DAY_MS) * DAY_MS;
  const stepMs = every * HOUR_MS;
  const lastMs = midnight + at * 60_000 + Math.floor((SCENE_NOW - midnight - at * 60_000) / stepMs) * stepMs;
  const number = Math.floor((days * 24) / every);
  const runs = Array.from({ length: number }, (_, back): KmBackup => {
    const slotMs = lastMs - back * stepMs;
    const end =
      life.suspend && back < 9
        ? undefined
        : (ends[back] ?? { phase: 'Succeeded' as const, reason: 'ArchiveVerified' });
    const phase = end?.phase ?? 'Skipped';
    const growth = 1 - (back * every) / 24 / 90;
    const size = Math.round(sizeMib * MIB * growth * (0.985 + 0.03 * next()));
    const seconds = Math.round(6 + (sizeMib / 90) * (0.8 + 0.4 * next()));
    const stamp = rfc(slotMs).replaceAll(/[-:]/g, '');
    const withArchive = phase === 'Succeeded' || phase === 'Incomplete';
    return {
      apiVersion: API_VERSION,
      kind: 'KmBackup',
      metadata: meta(namespace, `${name}-${Math.floor(slotMs / 60_000)}`, slotMs),
      spec: { scheduleName: name, scheduledTime: rfc(slotMs) },
      status: {
        ...end,
        phase,
        startTime: rfc(slotMs + 2_000),
        completionTime: rfc(slotMs + seconds * 1000),
        durationSeconds: seconds,
        ...(phase === 'Incomplete' && { warnings: { count: 2, samples: [] } }),
        ...(withArchive && {
          archive: {
            name: `km-backup-${stamp}.tgz`,
            claimName: archives,
            path: 'backups/archives',
            sizeBytes: size,
            sourceBytes: Math.round(size * 2.3),
            reusedBytes: Math.round(size * 0.96),
          },
        }),
      },
    };
  });
  const kept = life.suspend ? runs.slice(9) : runs;
  if (life.running && kept[0]) {
    const { completionTime: _, durationSeconds: __, archive: ___, ...status } = kept[0].status!;
    kept[0].status = { ...status, phase: 'Running', reason: 'Running', message: 'km-backup is running.' };
  }
  return kept;
}

function scheduleOf(life: Life, runs: readonly KmBackup[]): KmBackupSchedule {
  const { namespace, name, claim, archives, cron, suspend, copies, unready, every } = life;
  const ended = runs.filter(({ status }) => status?.completionTime !== undefined);
  const last = ended.find(({ status }) => status?.phase !== 'Skipped');
  const success = ended.find(({ status }) => status?.phase === 'Succeeded');
  const kept = ended.filter(({ status }) => status?.archive);
  const bytes = kept.reduce((sum, { status }) => sum + (status?.archive?.sizeBytes ?? 0), 0);
  const failed = ended.filter(({ status }) => status?.phase === 'Failed').length;
  const condition = (type: string, status: 'True' | 'False', reason: string, message: string) => ({
    type,
    status,
    reason,
    message,
    lastTransitionTime: rfc(SCENE_NOW - 2 * DAY_MS),
  });
  const archive = success?.status?.archive;
  const lastCopy = copies === 'failed' ? ended[3]?.status : success?.status;
  return {
    apiVersion: API_VERSION,
    kind: 'KmBackupSchedule',
    metadata: meta(namespace, name, SCENE_NOW - 120 * DAY_MS),
    spec: KmBackupScheduleSpec.parse({
      source: { persistentVolumeClaim: { claimName: claim } },
      ...(archives && { destination: { persistentVolumeClaim: { claimName: archives } } }),
      ...(copies && { copies: [{ locationRef: { name: 'offsite' } }] }),
      cron,
      suspend: suspend ?? false,
      retention: { limit: 120 },
    }),
    status: {
      observedGeneration: 1,
      conditions: [
        unready
          ? condition('Ready', 'False', unready.reason, unready.message)
          : condition('Ready', 'True', 'Scheduled', `Runs ${cron}.`),
      ],
      schedule: cron,
      cadence: suspend ? 'suspended' : cron,
      cadenceSince: rfc(SCENE_NOW - 120 * DAY_MS),
      runs: {
        succeeded: 118 + ended.length,
        incomplete: ended.filter(({ status }) => status?.phase === 'Incomplete').length,
        failed,
        skipped: 1,
      },
      missedSlots: unready ? 1 : 0,
      ...(unready && { lastMissedTime: rfc(SCENE_NOW - 5 * DAY_MS) }),
      retentionDeletes: 118,
      archives: { count: kept.length, bytes },
      ...(!suspend && { nextScheduleTime: rfc(Date.parse(runs[0]!.spec.scheduledTime!) + every * HOUR_MS) }),
      ...(last && {
        lastBackup: {
          name: last.metadata.name,
          phase: last.status!.phase!,
          ...(last.status?.message !== undefined && { message: last.status.message }),
        },
      }),
      ...(success && {
        lastSuccessfulTime: success.status!.completionTime!,
        lastSuccessfulBackup: {
          name: success.metadata.name,
          archive: archive!.name,
          sizeBytes: archive!.sizeBytes!,
          durationSeconds: success.status!.durationSeconds!,
          pruned: 1,
        },
      }),
      ...(copies && {
        copies: [
          {
            location: 'offsite',
            phase: copies === 'failed' ? ('Failed' as const) : ('Copied' as const),
            ...(lastCopy?.archive && {
              archive: lastCopy.archive.name,
              lastSuccessfulTime: rfc(Date.parse(lastCopy.completionTime!) + 7 * 60_000),
            }),
            ...(copies === 'failed' && {
              reason: 'LocationDenied',
              message: 'The bucket answers 403 AccessDenied to PutObject: the credentials may not write.',
              lastFailureTime: rfc(SCENE_NOW - 25 * 60_000),
              failures: 17,
              nextAttemptTime: rfc(SCENE_NOW + 35 * 60_000),
            }),
            present: { count: Math.max(1, kept.length - 3), bytes: Math.round(bytes * 0.9) },
          },
        ],
      }),
    },
  };
}

function restore(
  namespace: string,
  name: string,
  spec: Record<string, unknown>,
  status: KmRestoreStatus,
): KmRestore {
  return {
    apiVersion: API_VERSION,
    kind: 'KmRestore',
    metadata: meta(namespace, name, Date.parse(status.startTime!)),
    spec: KmRestoreSpec.parse(spec),
    status,
  };
}

const drill = (namespace: string, scheduleName: string, daysAgo: number, archive: string): KmRestore =>
  restore(
    namespace,
    `${scheduleName}-drill`,
    { source: { scheduleName }, target: { scratch: { size: '50Gi' } } },
    {
      phase: 'Succeeded',
      reason: 'Restored',
      message: '12,480 entries restored and compared; sqlite: 3 of 3 files sound.',
      startTime: rfc(SCENE_NOW - daysAgo * DAY_MS),
      completionTime: rfc(SCENE_NOW - daysAgo * DAY_MS + 190_000),
      archiveAgeSeconds: 10_400,
      recoverySeconds: 190,
      resolved: {
        archive: { name: archive, claimName: 'a', path: '' },
        series: `${namespace}/${scheduleName}`,
      },
    },
  );

const location = (namespace: string, status: NonNullable<KmBackupLocation['status']>): KmBackupLocation => ({
  apiVersion: API_VERSION,
  kind: 'KmBackupLocation',
  metadata: meta(namespace, 'offsite', SCENE_NOW - 100 * DAY_MS),
  spec: KmBackupLocationSpec.parse({
    s3: { bucket: 'example-backups', prefix: namespace, endpoint: 'https://s3.eu-central-1.example.com' },
    encryption: { none: true },
  }),
  status,
});

const checked = (status: 'True' | 'False', reason: string, message: string) => [
  { type: 'Available', status, reason, message, lastTransitionTime: rfc(SCENE_NOW - DAY_MS) },
];

/** The scene at `SCENE_NOW`. */
export function backupScene(): Records {
  const next = random(7);
  const lives = LIVES.map((life) => ({ life, runs: runsOf(life, next) }));
  const claims = new Set(
    LIVES.flatMap(({ namespace, claim, archives }) => [
      `${namespace}/${claim}`,
      `${namespace}/${archives ?? claim}`,
    ]),
  );
  claims.delete('platform/registry-blobs');
  for (const other of ['shop/search-index', 'home/jellyfin-config', 'ci/artifacts']) claims.add(other);
  return {
    schedules: lives.map(({ life, runs }) => scheduleOf(life, runs)),
    backups: lives.flatMap(({ runs }) => runs),
    restores: [
      drill('knowledge', 'gateway', 1.3, 'km-backup-20260319T020000Z.tgz'),
      drill('platform', 'gitea', 4, 'km-backup-20260316T031500Z.tgz'),
      drill('home', 'photos', 6, 'km-backup-20260314T050000Z.tgz'),
      drill('home', 'paperless', 6, 'km-backup-20260314T051000Z.tgz'),
      restore(
        'home',
        'paperless-tuesday',
        {
          source: { scheduleName: 'paperless' },
          target: { persistentVolumeClaim: { claimName: 'paperless-data' } },
        },
        {
          phase: 'Succeeded',
          reason: 'Restored',
          message: 'The archive is restored, verified and live.',
          startTime: rfc(SCENE_NOW - 3 * DAY_MS),
          completionTime: rfc(SCENE_NOW - 3 * DAY_MS + 140_000),
          recoverySeconds: 140,
          resolved: { archive: { name: 'km-backup-20260317T051000Z.tgz', claimName: 'nas', path: '' } },
          oldState: { path: '.km-restore/old', keptUntil: rfc(SCENE_NOW + 20 * HOUR_MS) },
        },
      ),
      restore(
        'shop',
        'orders-before-migration',
        {
          source: { scheduleName: 'orders-db' },
          target: { persistentVolumeClaim: { claimName: 'orders-postgres' } },
        },
        {
          phase: 'Quiescing',
          reason: 'Stopping',
          message: 'Waits for 1 pod of StatefulSet orders-postgres to end.',
          startTime: rfc(SCENE_NOW - 40_000),
          resolved: { archive: { name: 'km-backup-20260320T000000Z.tgz', claimName: 'backups', path: '' } },
        },
      ),
    ],
    locations: [
      location('shop', {
        conditions: checked('False', 'LocationDenied', 'The bucket answers 403 AccessDenied to PutObject.'),
        url: 's3://example-backups/shop',
        usage: { archives: 61, objects: 4_120, bytes: 71 * 1024 ** 3 },
        lastCheckTime: rfc(SCENE_NOW - 20 * 60_000),
        lastCopyTime: rfc(SCENE_NOW - 80 * HOUR_MS),
      }),
      location('home', {
        conditions: checked('True', 'LocationChecked', 'Written, read, listed and deleted.'),
        url: 's3://example-backups/home',
        usage: { archives: 84, objects: 13_402, bytes: 244 * 1024 ** 3 },
        lastCheckTime: rfc(SCENE_NOW - 31 * 60_000),
        lastCopyTime: rfc(SCENE_NOW - 7 * HOUR_MS),
      }),
    ],
    claims: [...claims].map((key) => ({
      metadata: { namespace: key.split('/')[0]!, name: key.split('/')[1]! },
      spec: {},
    })),
  };
}

/** Many schedules with a month of nightly runs each. */
export function largeScene(schedules: number, runsEach = 30): Records {
  const next = random(11);
  const lives = Array.from({ length: schedules }, (_, index): { life: Life; runs: KmBackup[] } => {
    const life: Life = {
      namespace: `team-${String(index % 25).padStart(2, '0')}`,
      name: `volume-${String(index).padStart(4, '0')}`,
      claim: `data-${index}`,
      archives: 'archives',
      cron: `${index % 60} 2 * * *`,
      every: 24,
      at: 120 + (index % 60),
      sizeMib: 1 + Math.round(2_000 * next()),
      days: runsEach,
      ...(index % 97 === 5 && { ends: { 0: failure('NoSpace', 'The destination is full.') } }),
    };
    return { life, runs: runsOf(life, next) };
  });
  return {
    schedules: lives.map(({ life, runs }) => scheduleOf(life, runs)),
    backups: lives.flatMap(({ runs }) => runs),
    restores: [],
    claims: lives.map(({ life }) => ({
      metadata: { namespace: life.namespace, name: life.claim },
      spec: {},
    })),
  };
}
