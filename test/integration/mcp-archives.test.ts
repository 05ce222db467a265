/**
 * What the tools of `km-backup mcp --cluster` make of real archives. The API server and its Jobs are real, and so is
 * km-backup; it runs here instead of in the pod, which has no kubelet.
 */
import { spawn } from 'node:child_process';
import { truncateSync, unlinkSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { API_VERSION, LABELS } from '../../src/api/names.ts';
import { sleep, systemClock } from '../../src/clock/index.ts';
import type { KubeClient } from '../../src/kube/client.ts';
import type { ExecRequest } from '../../src/kube/exec.ts';
import type { Caller } from '../../src/mcp/cluster/caller.ts';
import { clusterTools } from '../../src/mcp/cluster/service.ts';
import { Sandbox } from '../support/backup.ts';
import { PROGRAM } from '../support/km-backup.ts';
import { inScene, type OperatorScene } from '../support/operator-scene.ts';

let box: Sandbox;
beforeEach(() => {
  box = new Sandbox();
});
afterEach(() => box[Symbol.dispose]());

/** Where the pod sees the folder of the archives. */
const FOLDER = '/archives/0/backups/archives';

/** Runs the program here, and hands over its output in small pieces, which also cut characters. */
function execHere({ command, stdout, stderr, signal }: ExecRequest): Promise<number> {
  const args = command.slice(1).map((arg) => arg.replace(FOLDER, box.destination));
  return new Promise((resolve, reject) => {
    const child = spawn(PROGRAM, args, { stdio: ['ignore', 'pipe', 'pipe'], signal });
    for (const [stream, take] of [
      [child.stdout, stdout],
      [child.stderr, stderr],
    ] as const)
      stream.on('data', (chunk: Buffer) => {
        for (let at = 0; at < chunk.length; at += 7) take(chunk.subarray(at, at + 7));
      });
    child.on('error', reject);
    child.on('close', (code) => resolve(code ?? 137));
  });
}

const readersOf = ({ all, namespace }: OperatorScene) =>
  all.jobs.list(namespace, { labelSelector: `${LABELS.component}=reader` });

/** The tools of a scene in which pods of readers run as soon as they are there. */
function toolsOf(scene: OperatorScene, exec: (request: ExecRequest) => Promise<number> = execHere) {
  const { client, all, namespace } = scene;
  const stop = new AbortController();
  const kubelet = (async () => {
    while (!stop.signal.aborted) {
      const { items } = await all.pods.list(namespace, { labelSelector: `${LABELS.component}=reader` });
      for (const { metadata, status } of items) {
        if (status?.phase === 'Running' || metadata.deletionTimestamp) continue;
        const state = { running: { startedAt: new Date().toISOString() } };
        const container = {
          name: 'km-backup',
          image: 'x',
          imageID: 'x',
          restartCount: 0,
          ready: true,
          state,
        };
        const body = { status: { phase: 'Running', containerStatuses: [container] } };
        await all.pods.mergePatch(namespace, metadata.name, body, 'status').catch(() => {});
      }
      await sleep(systemClock, 100, stop.signal);
    }
  })();
  scene.onEnd(async () => {
    stop.abort();
    await kubelet;
  });
  const caller: Caller = {
    cluster: {
      client: { request: client.request.bind(client), exec } as unknown as KubeClient,
      resources: all,
      clock: systemClock,
    },
    namespace,
    image: 'km-backup:test',
  };
  const tools = new Map(clusterTools(caller).map((tool) => [tool.name, tool]));
  return async (name: string, given: object, signal = new AbortController().signal) => {
    const tool = tools.get(name)!;
    const progress: string[] = [];
    const reply = await tool.run(tool.input.parse(given), {
      signal,
      progress: ({ message }) => progress.push(message),
    });
    tool.output.parse(reply.data);
    const left = (await readersOf(scene)).items.filter(({ metadata }) => !metadata.deletionTimestamp);
    expect(left).toEqual([]);
    // biome-ignore lint/suspicious/noExplicitAny: each tool has its own shape, which its schema has checked
    return { ...reply, data: reply.data as any, progress };
  };
}

const evil = 'b\u001b[2J\u202e\nsound';

/** Two runs of schedule notes, `first` and `second`. Returns the names of their archives. */
async function twoRuns(scene: OperatorScene): Promise<[string, string]> {
  await scene.schedule('notes');
  const names = ['first', 'second'] as const;
  const made: string[] = [];
  for (const [at, name] of names.entries()) {
    box.write('notes/plan', name);
    box.write(`${name} übung`, '123');
    if (at === 1) box.write(evil, '');
    const now = () => new Date(`2026-01-0${at + 1}T00:00:00Z`);
    const run = await box.back({ now, series: `${scene.namespace}/notes` });
    const archive = path.basename(run.result.archive!.path);
    made.push(archive);
    await scene.all.backups.create(scene.namespace, {
      apiVersion: API_VERSION,
      kind: 'KmBackup',
      metadata: { name },
      spec: { scheduleName: 'notes' },
    });
    const status = {
      phase: 'Succeeded',
      completionTime: now().toISOString(),
      archive: { name: archive, claimName: 'state', path: 'backups/archives', sizeBytes: 1 },
    };
    await scene.all.backups.mergePatch(scene.namespace, name, { status }, 'status');
  }
  return made as [string, string];
}

const fileOf = (archive: string) => path.join(box.destination, archive);

describe('verify', () => {
  it(
    'says of each archive whether it is sound, once',
    inScene(async (scene) => {
      const [first, second] = await twoRuns(scene);
      const call = toolsOf(scene, (request) => {
        request.stderr(Buffer.from('{"event":"progress","archives":0,"bytes":1,"ofBytes":2}\n'));
        return execHere(request);
      });
      const { data, text, failed, progress } = await call('verify', {
        archives: ['first', 'notes', 'second'],
        deep: true,
      });
      expect(failed).toBe(false);
      expect(data).toMatchObject({
        sound: true,
        archives: [
          { backup: 'first', name: first, state: 'sound', against: 'manifest-deep' },
          { backup: 'second', name: second, state: 'sound' },
        ],
      });
      expect(text).toMatch(
        new RegExp(`^first \\(${first}\\): sound, \\d+ entries, .*against its manifest$`, 'm'),
      );
      expect(progress).toContain('verifying 2 archives');
    }),
  );

  it(
    'names what is damaged and what is missing, also of a whole folder',
    inScene(async (scene) => {
      const [first, second] = await twoRuns(scene);
      truncateSync(fileOf(second), 100);
      const call = toolsOf(scene);
      const damaged = await call('verify', { archives: ['first', 'second'] });
      expect(damaged.failed).toBe(true);
      expect(damaged.data).toMatchObject({
        sound: false,
        archives: [{ state: 'sound' }, { state: 'damaged' }],
      });
      expect(damaged.text).toMatch(/^second \(.*\): DAMAGED: /m);
      unlinkSync(fileOf(first));
      expect((await call('verify', { archives: ['first'] })).text).toMatch(/^first \(.*\): missing: /);
      const all = await call('verify', { archives: ['first'], all: true });
      expect(all.failed).toBe(true);
      expect(all.data.archives).toMatchObject([
        { backup: 'second', name: second, state: 'damaged' },
        { backup: 'first', name: first, state: 'missing' },
      ]);
    }),
  );
});

describe('diff', () => {
  it(
    'says what changed, with names as data, up to the limit',
    inScene(async (scene) => {
      await twoRuns(scene);
      const call = toolsOf(scene);
      const { data, text } = await call('diff', { after: 'notes', exclude: ['first*'] });
      expect(data).toMatchObject({
        before: 'first',
        after: 'second',
        totals: { added: { entries: 2, files: 2 }, removed: { entries: 0 } },
        byTime: false,
      });
      expect(data.differences).toContainEqual({ change: 'added', path: evil, sizeAfter: 0 });
      expect(data.differences).toContainEqual({ change: 'added', path: 'second übung', sizeAfter: 3 });
      expect(text).toMatch(/^\+ b\\x1b\[2J\\u\{202e\}\\nsound, 0 B$/m);
      expect(text).toMatch(/^M notes\/plan, 5 B -> 6 B \(size/m);
      for (const [limit, listed] of [
        [0, 0],
        [1, 1],
      ] as const) {
        const limited = await call('diff', { before: 'first', after: 'second', limit });
        expect(limited.data.differences).toHaveLength(listed);
        expect(limited.data.totals.added.entries).toBe(2);
        expect(limited.text).toMatch(/^and \d+ more$/m);
      }
    }),
  );
});

describe('history', () => {
  it(
    'shows one file through all archives of the schedule, newest first',
    inScene(async (scene) => {
      const [first, second] = await twoRuns(scene);
      const call = toolsOf(scene);
      const { data, text } = await call('history', { schedule: 'notes', path: 'notes/plan' });
      expect(data.versions).toMatchObject([
        { archive: second, change: 'changed', size: 6, type: 'file' },
        { archive: first, change: 'oldest', size: 5 },
      ]);
      expect(text).toMatch(/^notes\/plan: 2 archives\.$/m);
      const since = await call('history', { schedule: 'notes', path: 'second übung', changesOnly: true });
      expect(since.data.versions).toMatchObject([{ archive: second, change: 'added' }]);
      await expect(call('history', { schedule: 'notes', path: '../x' })).rejects.toMatchObject({
        reason: 'Failed',
        message: expect.stringMatching(
          /^km-backup history failed in the pod that reads the archive: .*\.\.\/x/,
        ),
      });
      expect((await readersOf(scene)).items.every(({ metadata }) => metadata.deletionTimestamp)).toBe(true);
    }),
  );
});

describe('a pod that is not what was expected', () => {
  const sound = '{"archive":"/archives/0/a.tgz","state":"sound","entries":1,"bytes":1}\n';
  it.each([
    [
      'garbage',
      0,
      'not JSON \u001b[2J\n',
      '',
      /printed what this version does not understand: not JSON \\x1b/,
    ],
    ['another shape', 0, '{"archive":1}\n', '', /does not understand/],
    ['another program', 127, '', 'sh: km-backup: not found', /failed .*: sh: km-backup: not found$/],
    ['killed without a word', 137, '', '', /failed .*: it ended with exit status 137\.$/],
    ['killed after a verdict', 137, sound, '{"event":"progress"}\n', /it ended with exit status 137/],
    ['a failure after a verdict', 1, sound, 'km-backup: disk\u202e gone\n', /: disk\\u\{202e\} gone$/],
  ])('%s', (_, code, out, err, words) =>
    inScene(async (scene) => {
      await twoRuns(scene);
      const call = toolsOf(scene, async ({ stdout, stderr }) => {
        stdout(Buffer.from(out));
        stderr(Buffer.from(err));
        return code;
      });
      await expect(call('verify', { archives: ['first'] })).rejects.toMatchObject({
        reason: 'Failed',
        message: expect.stringMatching(words),
      });
      expect((await readersOf(scene)).items.every(({ metadata }) => metadata.deletionTimestamp)).toBe(true);
    })(),
  );

  it(
    'a call that is cancelled while km-backup runs',
    inScene(async (scene) => {
      await twoRuns(scene);
      const stop = new AbortController();
      const call = toolsOf(scene, async ({ signal }) => {
        stop.abort();
        signal!.throwIfAborted();
        return 0;
      });
      await expect(call('verify', { archives: ['first'] }, stop.signal)).rejects.toMatchObject({
        reason: 'Interrupted',
      });
      expect((await readersOf(scene)).items.every(({ metadata }) => metadata.deletionTimestamp)).toBe(true);
    }),
  );
});
