/** The kubectl plugin, as a process, against the real API server. What needs a kubelet is in test/e2e. */
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { KmBackupStatus } from '../../src/api/backup.ts';
import { LABELS } from '../../src/api/names.ts';
import type { KubeObject } from '../../src/kube/object.ts';
import type { Ended } from '../support/km-backup.ts';
import { eventually } from '../support/kubectl.ts';
import { expectPlain, kubectlKm, type PluginHow } from '../support/kubectl-km.ts';
import { inScene, type OperatorScene } from '../support/operator-scene.ts';
import { backedUp, restoreReport } from '../support/restore-scene.ts';
import { cleanResult } from '../support/stub-kubelet.ts';

type Run = (command: string, how?: Partial<PluginHow>) => Promise<Ended>;

/** Runs a command line in the namespace of the scene. */
const inNamespace =
  ({ kubeconfig, namespace }: OperatorScene): Run =>
  async (command, how = {}) => {
    const ended = await kubectlKm([...command.split(' '), '-n', namespace], { kubeconfig, ...how });
    expectPlain(ended);
    return ended;
  };

const scene = (test: (scene: OperatorScene, run: Run) => Promise<void>) =>
  inScene((opened) => test(opened, inNamespace(opened)));

const HOSTILE = 'bad \u001b[2J\u202ename\nof a file';

/** A schedule that is well, one whose last run failed, and one that is suspended. */
async function threeSchedules(made: OperatorScene): Promise<void> {
  const { all, namespace } = made;
  const now = Date.now();
  const time = (hours: number) => `${new Date(now + hours * 3_600_000).toISOString().slice(0, 19)}Z`;
  const ready = {
    type: 'Ready',
    status: 'True',
    reason: 'Scheduled',
    message: 'x',
    lastTransitionTime: time(-90),
  } as const;
  const common = { observedGeneration: 1, conditions: [ready], nextScheduleTime: time(20) };
  await made.schedule('well');
  await made.schedule('broken');
  await made.schedule('asleep', { suspend: true });
  await all.backups.create(namespace, {
    apiVersion: 'km.duskmantle.io/v1alpha1',
    kind: 'KmBackup',
    metadata: { name: 'broken-1' },
    spec: { scheduleName: 'broken' },
  });
  const failed: KmBackupStatus = {
    phase: 'Failed',
    reason: 'NoSpace',
    message: HOSTILE,
    completionTime: time(-1),
  };
  await all.backups.mergePatch(namespace, 'broken-1', { status: failed }, 'status');
  const archives = { count: 3, bytes: 5 << 20 };
  const status = {
    well: {
      ...common,
      lastSuccessfulTime: time(-2),
      lastBackup: { name: 'well-1', phase: 'Succeeded' },
      archives,
    },
    broken: { ...common, lastBackup: { name: 'broken-1', phase: 'Failed', message: HOSTILE } },
    asleep: common,
  };
  for (const [name, one] of Object.entries(status))
    await all.schedules.mergePatch(namespace, name, { status: one }, 'status');
}

describe('kubectl km status', () => {
  it(
    'shows what is wrong first, and what to do about it',
    scene(async (made, run) => {
      await threeSchedules(made);
      const { code, stdout } = await run('status');
      expect(code).toBe(0);
      const rows = stdout.split('\n');
      expect(rows[0]).toMatch(/^NAME +HEALTH +LAST +NEXT +ARCHIVES +SIZE +DRILL +SCHEDULE/);
      expect(rows.slice(1, 4).map((row) => row.split(/ +/)[0])).toEqual(['broken', 'asleep', 'well']);
      expect(rows[3]).toMatch(/OK +2h +in 20h|OK +2h +in 19h/);
      expect(stdout).toContain('broken: NoSpace: bad \\x1b[2J\\u{202e}name\\nof a file');
      expect(stdout).toContain('→ Enlarge the claim');
    }),
  );

  it(
    'fits 60 columns, and gives JSON, YAML, one schedule or no headers when asked',
    scene(async (made, run) => {
      await threeSchedules(made);
      const narrow = (await run('status', { env: { COLUMNS: '60' } })).stdout;
      for (const line of narrow.split('\n')) expect(line.length).toBeLessThanOrEqual(60);
      const overview = JSON.parse((await run('status -o json')).stdout);
      expect(overview.schedules.map(({ health }: { health: string }) => health)).toEqual([
        'Failed',
        'Suspended',
        'OK',
      ]);
      expect(parse((await run('status -o yaml')).stdout).schedules[0].findings[0].message).toBe(HOSTILE);
      expect((await run('status well --no-headers')).stdout).toMatch(/^well +OK .*\n$/);
      expect((await run('status -o wide')).stdout).toMatch(/REASON/);
      expect((await run('status -o name')).stdout).toMatch(
        /^kmbackupschedule\.km\.duskmantle\.io\/broken\n.*\/asleep\n.*\/well\n$/,
      );
      expect((await run('coverage -o name')).stdout).toBe('persistentvolumeclaim/state\n');
    }),
  );

  it(
    'of an empty namespace says so',
    scene(async (made, run) => {
      expect((await run('status')).stdout).toBe(
        `No schedules in namespace ${made.namespace} (-A shows all).\n`,
      );
      expect((await run('list')).stdout).toMatch(/^No backups/);
    }),
  );
});

describe('kubectl km list', () => {
  it(
    'shows backups in every format, and names what there is instead',
    scene(async (made, run) => {
      await threeSchedules(made);
      await made.schedule('notes');
      await backedUp(made);
      expect((await run('list')).stdout).toMatch(/first +Succeeded .*\n?/);
      expect((await run('list notes -o name')).stdout).toBe('kmbackup.km.duskmantle.io/first\n');
      expect(JSON.parse((await run('list broken -o json')).stdout).items[0].status.message).toBe(HOSTILE);
      const { code, stderr } = await run('list nots');
      expect(code).toBe(1);
      expect(stderr).toContain('There is no schedule nots');
      expect(stderr).toContain('There are: notes');
    }),
  );
});

describe('kubectl km run', () => {
  it.each([
    ['Succeeded', 0, /succeeded in .*km-backup-20260101T000000Z\.tgz on claim state/],
    ['Incomplete', 3, /is incomplete: 1 file/],
    ['Failed', 1, /failed: no space left/],
    ['Skipped', 4, /was skipped: another run/],
  ] as const)('that ends as %s exits with %i', (outcome, code, said) =>
    scene(async (made, run) => {
      await made.operator();
      const clean = cleanResult('km-backup-20260101T000000Z.tgz');
      const { archive, ...noArchive } = clean;
      const results = {
        Succeeded: clean,
        Incomplete: { ...clean, outcome, reason: 'FilesNotCaptured', message: '1 file was not read.' },
        Failed: { ...noArchive, outcome, reason: 'NoSpace', message: 'no space left' },
        Skipped: { ...noArchive, outcome, reason: 'Locked', message: 'another run holds the lock' },
      } as const;
      await made.kubelet(() => ({ exitCode: code, result: results[outcome] }));
      await made.schedule('notes', { backoffLimit: 0 });
      const ended = await run('run notes --wait');
      expect(ended.stdout).toMatch(said);
      expect(ended.code).toBe(code);
    })(),
  );

  it(
    'without --wait starts it and says how to follow it; -o name is for scripts',
    scene(async (made, run) => {
      await made.schedule('notes');
      expect((await run('run notes')).stdout).toMatch(
        /^Backup notes-now-\w+ started\. To follow it: kubectl km logs/,
      );
      expect((await run('run notes -o name')).stdout).toMatch(
        /^kmbackup\.km\.duskmantle\.io\/notes-now-\w+\n$/,
      );
      expect(await made.backups()).toHaveLength(2);
    }),
  );

  it(
    'that is given up goes on, and says so',
    scene(async (made, run) => {
      await made.schedule('notes');
      const ended = await run('run notes --wait', {
        onStart: (child) => child.stderr!.once('data', () => child.kill('SIGINT')),
      });
      expect(ended.code).toBe(130);
      expect(ended.stderr).toMatch(/Backup notes-now-\w+ goes on/);
      expect(await made.backups()).toHaveLength(1);
    }),
  );
});

describe('kubectl km restore', () => {
  const prepared = async (made: OperatorScene) => {
    await made.operator();
    await made.kubelet((pod) => restoreReport(pod.metadata.labels?.[LABELS.component] ?? ''));
    await made.schedule('notes');
    await backedUp(made);
  };
  const restores = async ({ all, namespace }: OperatorScene) => (await all.restores.list(namespace)).items;

  it(
    'shows its plan, changes nothing without a yes, and then does what the plan says',
    scene(async (made, run) => {
      await prepared(made);
      const planned = await run('restore notes --plan');
      expect(planned.code).toBe(0);
      expect(planned.stdout).toContain('Entries   1 added, 1 changed, 1 removed, 1 kept');
      expect(planned.stdout).toContain('  + a');
      expect(await restores(made)).toEqual([]);

      const unasked = await run('restore notes');
      expect(unasked.code).toBe(2);
      expect(unasked.stderr).toContain('Nobody can be asked here');
      expect(await restores(made)).toEqual([]);

      const done = await run('restore first --yes --wait --keep-old-state 7d');
      expect(done.code).toBe(0);
      expect(done.stdout).toMatch(/Restore first-restore-\w+ succeeded/);
      expect(done.stdout).toContain('old-state=rollback');
      const [restore] = await restores(made);
      expect(restore!.spec).toMatchObject({
        source: { backupName: 'first' },
        planDigest: 'd'.repeat(64),
        keepOldStateFor: '7d',
        quiesce: { auto: true },
      });
    }),
  );

  it(
    'into a new claim needs no plan',
    scene(async (made, run) => {
      await prepared(made);
      expect((await run('restore notes --new-claim copy --size 1Gi')).stdout).toMatch(
        /^Restore notes-restore-\w+ started/,
      );
      expect((await restores(made))[0]!.spec.target).toMatchObject({
        newClaim: { name: 'copy', size: '1Gi' },
      });
    }),
  );

  it(
    'into scratch space is a drill, which counts as those of the schedule do',
    scene(async (made, run) => {
      await made.schedule('notes', {
        drill: { every: 5, historyLimit: 1, scratch: { size: '2Gi' }, checks: { json: ['*.json'] } },
      });
      await made.schedule('plain');
      await backedUp(made);
      const { metadata } = await made.all.schedules.get(made.namespace, 'notes');
      expect((await run('drill notes')).stdout).toMatch(/^Restore notes-drill-\w+ started/);
      const [first] = await restores(made);
      expect(first!.spec).toMatchObject({
        source: { scheduleName: 'notes' },
        target: { scratch: { size: '2Gi' } },
        checks: { json: ['*.json'] },
      });
      expect(first!.metadata).toMatchObject({
        labels: { [LABELS.schedule]: 'notes', [LABELS.scheduleUid]: metadata.uid },
        ownerReferences: [{ kind: 'KmBackupSchedule', uid: metadata.uid, controller: true }],
      });
      const second = await run('drill notes');
      expect([second.code, second.stderr]).toEqual([
        1,
        expect.stringContaining(`A drill of notes is running: ${first!.metadata.name}`),
      ]);
      const { code, stderr } = await run('drill plain');
      expect(code).toBe(2);
      expect(stderr).toContain('pass --size');
      expect(await restores(made)).toHaveLength(1);
      expect((await run('drill first --size 1Gi -o name')).stdout).toMatch(
        /^kmrestore\.km\.duskmantle\.io\/first-drill-\w+\n$/,
      );
      const ofBackup = (await restores(made)).find(({ spec }) => spec.source.backupName === 'first')!;
      expect(ofBackup.spec.target).toEqual({ scratch: { size: '1Gi' } });
      expect(ofBackup.metadata.ownerReferences).toMatchObject([{ kind: 'KmBackup', name: 'first' }]);
    }),
  );

  it(
    'into scratch space, by hand: the operator records it, and deletes what is beyond the history limit',
    scene(async (made, run) => {
      await prepared(made);
      const drill = { every: 100, historyLimit: 1, scratch: { size: '1Gi' } };
      await made.all.schedules.mergePatch(made.namespace, 'notes', { spec: { drill } });
      for (const _ of [1, 2]) expect((await run('drill notes --wait')).stdout).toMatch(/succeeded/);
      const [last] = await eventually(
        () => restores(made),
        (left) => left.length === 1,
        () => 'only the last drill',
      );
      const schedule = await eventually(
        () => made.all.schedules.get(made.namespace, 'notes'),
        ({ status }) => status?.drill?.last?.name === last!.metadata.name,
        () => 'the drill in the status',
      );
      expect(schedule.status?.lastDrillResult).toBe('Succeeded');
    }),
  );

  it.each([
    ['restore notes --as-of tomorrow', 'a time is needed'],
    ['restore notes --new-claim copy', '--new-claim and --size go together'],
    ['restore first --as-of 2026-01-01', '--as-of needs a schedule'],
    ['restore notes --new-claim c --size 1Gi --plan', 'there is no plan to show'],
    ['restore notes --new-claim c --size 1Gi --to state', 'not to both'],
  ])('%s is refused before anything is created', (command, said) =>
    scene(async (made, run) => {
      await made.schedule('notes');
      await backedUp(made);
      const { code, stderr } = await run(command);
      expect(code).toBe(2);
      expect(stderr).toContain(said);
      expect(await restores(made)).toEqual([]);
    })(),
  );
});

describe('small changes', () => {
  it(
    'suspend, resume and approve do what they say, once and again',
    scene(async (made, run) => {
      await made.schedule('notes');
      await backedUp(made);
      const suspended = async () => (await made.all.schedules.get(made.namespace, 'notes')).spec.suspend;
      for (const _ of [1, 2]) expect((await run('suspend notes')).code).toBe(0);
      expect(await suspended()).toBe(true);
      expect((await run('resume notes')).stdout).toBe('notes is resumed.\n');
      expect(await suspended()).toBe(false);
      expect((await run('approve first')).code).toBe(0);
      const { metadata } = await made.all.backups.get(made.namespace, 'first');
      expect(metadata.annotations).toEqual({ 'km.duskmantle.io/approved': 'true' });
      expect((await run('suspend none')).stderr).toContain('There is no schedule none');
    }),
  );
});

describe('looking', () => {
  it(
    'why, coverage, logs and doctor answer for a namespace with everything wrong',
    scene(async (made, run) => {
      await threeSchedules(made);
      expect((await run('why broken-1')).stdout).toMatch(/^broken-1 failed: bad \\x1b\[2J/);
      expect((await run('why well')).stdout).toMatch(/^The operator is not installed|^No operator serves/);
      expect(JSON.parse((await run('why broken-1 -o json')).stdout)).toMatchObject({ reason: 'NoSpace' });
      expect((await run('coverage')).stdout).toMatch(/^CLAIM +GAP +LAST/);
      expect((await run('logs broken')).stderr).toContain('There is no pod of broken');
      const { code, stdout } = await run('doctor');
      expect(code).toBe(1);
      expect(stdout).toMatch(/^PROBLEM {2}Operator/);
      expect(stdout).toContain('PROBLEM  Volumes: Schedule broken: the volume of its archives is full.');
      expect(stdout).toMatch(/^ok +CRDs: All \d+ CRDs are current\./m);
    }),
  );
});

type ReaderJob = KubeObject & { spec: { template: { spec: Record<string, unknown> } } };

/** Runs a command that reads archives, and interrupts it once its Job is there. */
async function interrupted(made: OperatorScene, run: Run, command: string) {
  const jobs = async () =>
    (await made.all.jobs.list(made.namespace, { labelSelector: `${LABELS.component}=reader` }))
      .items as unknown as ReaderJob[];
  let seen: ReaderJob | undefined;
  const ended = await run(`${command} --image km-backup:test`, {
    onStart: (child) => {
      void eventually(
        jobs,
        ([job]) => job !== undefined,
        () => 'the Job of the reader',
      ).then(([job]) => {
        seen = job!;
        child.kill('SIGINT');
      });
    },
  });
  expect(ended.code).toBe(130);
  return { jobs, seen: seen! };
}

describe('commands that read archives', () => {
  it(
    'start one restricted pod that mounts the claim read-only, and remove it when they are given up',
    scene(async (made, run) => {
      await made.schedule('notes', { podTemplate: { runAsUser: 1234 } });
      await backedUp(made);
      const { jobs, seen } = await interrupted(made, run, 'ls first');
      expect(seen.metadata.ownerReferences).toMatchObject([{ kind: 'KmBackup', name: 'first' }]);
      expect(seen.spec).toMatchObject({
        activeDeadlineSeconds: 3600,
        ttlSecondsAfterFinished: 0,
        backoffLimit: 0,
      });
      expect(seen.spec.template.spec).toMatchObject({
        automountServiceAccountToken: false,
        securityContext: { runAsNonRoot: true, runAsUser: 1234, seccompProfile: { type: 'RuntimeDefault' } },
        volumes: [{ persistentVolumeClaim: { claimName: 'state', readOnly: true } }, { name: 'work' }],
      });
      await eventually(
        jobs,
        (left) => left.every(({ metadata }) => metadata.deletionTimestamp),
        () => 'the Job to go',
      );
    }),
  );

  it(
    'reach a location with its Secrets, and mount no claim',
    scene(async (made, run) => {
      const from = { locationRef: { name: 'offsite' }, identitySecretRef: { name: 'keys' } };
      await made.schedule('notes', { drill: { cron: '5 4 * * 0', scratch: { size: '1Gi' }, from } });
      await made.all.locations.create(made.namespace, {
        apiVersion: 'km.duskmantle.io/v1alpha1',
        kind: 'KmBackupLocation',
        metadata: { name: 'offsite' },
        spec: {
          s3: { bucket: 'copies', credentialsSecretRef: { name: 'credentials' } },
          encryption: { age: { recipients: [`age1${'q'.repeat(58)}`] } },
        },
      });
      const { seen } = await interrupted(made, run, 'history notes config/app.yaml --location offsite');
      expect(seen.metadata).toMatchObject({
        labels: { [LABELS.location]: 'offsite' },
        ownerReferences: [{ kind: 'KmBackupSchedule', name: 'notes' }],
      });
      expect(seen.spec.template.spec).toMatchObject({
        automountServiceAccountToken: false,
        containers: [
          {
            env: expect.arrayContaining([
              expect.objectContaining({
                name: 'AWS_ACCESS_KEY_ID',
                valueFrom: { secretKeyRef: { name: 'credentials', key: 'AWS_ACCESS_KEY_ID' } },
              }),
            ]),
          },
        ],
        volumes: [
          { name: 'work', emptyDir: {} },
          {
            name: 'identity',
            secret: { secretName: 'keys', items: [{ key: 'identity', path: 'identity' }] },
          },
        ],
      });
      const missing = await run('diff notes --location elsewhere --image km-backup:test');
      expect([missing.code, missing.stderr]).toEqual([
        1,
        expect.stringContaining('There is no location elsewhere'),
      ]);
    }),
  );

  it(
    'say why the pod cannot start, and what is missing',
    scene(async (made, run) => {
      await made.schedule('notes');
      await backedUp(made);
      expect((await run('ls first')).stderr).toContain('Pass --image');
      await made.all.claims.delete(made.namespace, 'state');
      expect((await run('ls nothing --image x')).stderr).toContain('There is no backup nothing');
    }),
  );
});

describe('a caller without rights', () => {
  /** A kubeconfig of a service account with these rules in the namespace. */
  async function account(made: OperatorScene, rules: object[]): Promise<string> {
    const { client, namespace, kubeconfig } = made;
    const post = (path: string, body: object) => client.request<never>({ method: 'POST', path, body });
    const rbac = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}`;
    const accounts = `/api/v1/namespaces/${namespace}/serviceaccounts`;
    await post(accounts, { metadata: { name: 'someone' } });
    await post(`${rbac}/roles`, { metadata: { name: 'someone' }, rules });
    await post(`${rbac}/rolebindings`, {
      metadata: { name: 'someone' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'someone' },
      subjects: [{ kind: 'ServiceAccount', name: 'someone', namespace }],
    });
    const { status } = (await post(`${accounts}/someone/token`, {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: {},
    })) as { status: { token: string } };
    const { readFile } = await import('node:fs/promises');
    const config = parse(await readFile(kubeconfig, 'utf8'));
    config.users = config.users.map(({ name }: { name: string }) => ({
      name,
      user: { token: status.token },
    }));
    const file = join(tmpdir(), `km-${namespace}`);
    await writeFile(file, JSON.stringify(config), { mode: 0o600 });
    return file;
  }

  it(
    'is told what it may not do, and nothing more happens',
    scene(async (made, run) => {
      await threeSchedules(made);
      await backedUp(made);
      const nobody = await account(made, []);
      for (const command of [
        'status',
        'list',
        'why well',
        'run well',
        'suspend well',
        'coverage',
        'ls first',
      ]) {
        const { code, stderr } = await run(command, { kubeconfig: nobody });
        expect([command, code, stderr]).toEqual([command, 1, expect.stringContaining('You may not do this')]);
      }
      const { stdout } = await run('doctor', { kubeconfig: nobody });
      expect(stdout).toContain('You may not create kmbackups');
      expect(await made.backups()).toHaveLength(2);
    }),
  );

  it(
    'who may only look sees everything and changes nothing',
    scene(async (made, run) => {
      await threeSchedules(made);
      const km = { apiGroups: ['km.duskmantle.io'], resources: ['*'], verbs: ['get', 'list'] };
      const viewer = await account(made, [km]);
      expect((await run('status', { kubeconfig: viewer })).stdout).toContain('broken');
      expect((await run('why broken-1', { kubeconfig: viewer })).stdout).toMatch(/^broken-1 failed/);
      expect((await run('suspend well', { kubeconfig: viewer })).code).toBe(1);
      const all = await kubectlKm(['status', '-A'], { kubeconfig: viewer });
      expect(all.stderr).toContain('You may not do this');
    }),
  );
});

describe('a command line that cannot work', () => {
  it.each([
    [['status', '--context', 'none'], 2, 'there is no context none'],
    [['status', '--kubeconfig', '/nothing'], 2, '/nothing cannot be read as a kubeconfig'],
    [['stauts'], 2, "unknown command 'stauts'"],
    [['run'], 2, "missing required argument 'schedule'"],
    [['status', '-o', 'xml'], 2, 'Allowed choices are wide, json, yaml'],
    [['status', '\u001b[2J'], 0, ''],
    [['why', '\u202e'], 1, 'There is no schedule, backup or restore \\u{202e}'],
    [['get', 'x', 'y', '-o', '/'], 2, 'exists already'],
  ])('%j says so with exit status %i', (args, code, said) =>
    inScene(async ({ kubeconfig }) => {
      const ended = await kubectlKm(args, { kubeconfig });
      expectPlain(ended);
      expect(ended.stderr).toContain(said);
      expect(ended.code).toBe(code);
    })(),
  );

  it('without a cluster that answers says where it looked', async () => {
    const file = join(tmpdir(), `km-nowhere-${process.pid}`);
    const cluster = { server: 'https://127.0.0.1:1' };
    const named = { name: 'x', context: { cluster: 'x', user: 'x' } };
    await writeFile(
      file,
      JSON.stringify({
        clusters: [{ name: 'x', cluster }],
        users: [{ name: 'x' }],
        contexts: [named],
        'current-context': 'x',
      }),
    );
    const ended = await kubectlKm(['status'], { kubeconfig: file });
    expectPlain(ended);
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain('nothing answers at https://127.0.0.1:1');
  });
});
