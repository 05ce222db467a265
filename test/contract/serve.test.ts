import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { runBackup } from '../../src/archive/index.ts';
import { FileLock } from '../../src/posix/file-lock.ts';
import { freshState, STATE_NAME, State } from '../../src/standalone/state.ts';

const PROGRAM = path.join(import.meta.dirname, '../../bin/km-backup');
const WAIT = { timeout: 60_000, interval: 50 };

const createOptions = {
  compression: 'gzip',
  level: 5,
  exclude: [],
  include: [],
  full: false,
  allowEmpty: false,
  lockWaitMs: 0,
  retention: undefined,
} as const;

let root: string;
let source: string;
let destination: string;
const children: ChildProcess[] = [];
beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'km-serve-'));
  source = path.join(root, 'var');
  destination = path.join(source, 'backups', 'archives');
  mkdirSync(source);
  writeFileSync(path.join(source, 'state.txt'), 'precious');
});
afterEach(() => {
  for (const child of children.splice(0)) if (child.exitCode === null) child.kill('SIGKILL');
  rmSync(root, { recursive: true, force: true });
});

const NO_RUNS = { success: 0, incomplete: 0, failure: 0, skipped_lock: 0 };

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return text.split(' ').filter(Boolean).map(Number);
}

interface Served {
  pid: number;
  url: () => string | undefined;
  log: () => string;
  stop: () => Promise<number | null>;
  kill: () => void;
  exited: Promise<number | null>;
}

function start(env: Record<string, string>, ...args: string[]): Served {
  const child = spawn(PROGRAM, ['serve', '--listen', '127.0.0.1:0', ...args], {
    env: { PATH: process.env['PATH'], KM_STATE_PATH: source, KM_BACKUP_ENABLED: 'true', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  let log = '';
  child.stderr!.on('data', (chunk: Buffer) => {
    log += chunk;
  });
  const exited = new Promise<number | null>((resolve) => child.once('close', resolve));
  return {
    pid: child.pid!,
    url: () => /"url":"([^"]+)"/.exec(log)?.[1],
    log: () => log,
    stop: () => {
      child.kill('SIGTERM');
      return exited;
    },
    kill: () => void child.kill('SIGKILL'),
    exited,
  };
}

async function health(served: Served): Promise<{ code: number; check: Record<string, unknown> }> {
  await expect.poll(served.url, WAIT).toBeDefined();
  const response = await fetch(`${served.url()}/healthz`);
  const body = (await response.json()) as { checks: { backup: Record<string, unknown> } };
  return { code: response.status, check: body.checks.backup };
}

async function metric(served: Served, name: string): Promise<number | undefined> {
  const text = await (await fetch(`${served.url()}/metrics`)).text();
  const line = text.split('\n').find((each) => each.startsWith(`${name} `));
  return line === undefined ? undefined : Number(line.slice(name.length));
}

const state = () => State.parse(JSON.parse(readFileSync(path.join(destination, STATE_NAME), 'utf8')));
const archives = () => readdirSync(destination).filter((name) => name.endsWith('.tgz'));

function script(body: string): string {
  const file = path.join(root, 'script.sh');
  writeFileSync(file, `#!/bin/sh\n${body}\n`);
  chmodSync(file, 0o755);
  return file;
}

describe('the status page', () => {
  test('shows the archives, and the same as JSON', async () => {
    const served = start({}, '--run-now');
    await expect.poll(async () => (await health(served)).check['status'], WAIT).toBe('ok');
    // The state may have been computed a moment before.
    const status = async () =>
      (await (await fetch(`${served.url()}/status.json`)).json()) as { health: string; schedules: object[] };
    await expect.poll(async () => (await status()).health, WAIT).toBe('OK');
    const [name] = archives();
    expect((await status()).schedules).toMatchObject([
      { name: source, runs: [{ name, phase: 'Succeeded' }] },
    ]);
    const page = await fetch(`${served.url()}/`);
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(await page.text()).toContain(name);
    expect(await served.stop()).toBe(0);
  });

  test('can be switched off', async () => {
    const served = start({ KM_BACKUP_PAGE: 'false' });
    await health(served);
    expect((await fetch(`${served.url()}/`)).status).toBe(404);
    expect(await served.stop()).toBe(0);
  });
});

describe('the built-in program', () => {
  test('a run, its health and metrics, a clean stop, and a restart that repeats nothing', async () => {
    const served = start({}, '--run-now');
    await expect.poll(async () => (await health(served)).check['status'], WAIT).toBe('ok');
    const { code, check } = await health(served);
    const [name] = archives();
    expect(code).toBe(200);
    expect(check).toMatchObject({
      archive: path.join(destination, name!),
      deleted: 0,
      size_bytes: expect.any(Number),
    });
    expect(await metric(served, 'km_backup_runs_total{result="success"}')).toBe(1);
    expect(await metric(served, 'km_backup_last_status')).toBe(1);
    expect(await metric(served, 'km_backup_last_success_timestamp')).toBeGreaterThan(1e9);
    expect(await metric(served, 'km_backup_last_source_bytes')).toBe(8);
    expect(await metric(served, 'km_backup_archives')).toBe(1);
    expect(await metric(served, 'km_backup_next_slot_timestamp')).toBeGreaterThan(Date.now() / 1000);

    const rival = start({});
    expect(await rival.exited).toBe(4);
    expect(rival.log()).toContain('is already served by process');

    expect(await served.stop()).toBe(0);
    expect(state().running).toBeUndefined();

    const again = start({});
    expect((await health(again)).check).toMatchObject({ status: 'ok', last_success: check['last_success'] });
    expect(await metric(again, 'km_backup_runs_total{result="success"}')).toBe(1);
    expect(archives()).toEqual([name]);
    expect(await again.stop()).toBe(0);
  });

  test.each([
    // Its own state lies beside the archives: after the restore it begins anew.
    ['inside the source', () => destination, 'pending'],
    ['elsewhere', () => path.join(root, 'archives'), 'ok'],
  ])(
    'with archives %s, /healthz reports after a restore the timestamp of the recovered archive',
    async (_, where, status) => {
      const archives = where();
      const env = { KM_BACKUP_DEST: archives };
      const at = new Date('2026-02-01T12:00:00Z');
      const { result } = await runBackup({ ...createOptions, source, destination: archives, now: () => at });
      writeFileSync(path.join(source, 'state.txt'), 'damaged later');
      const before = start(env, '--run-now');
      await expect.poll(async () => (await health(before)).check['status'], WAIT).toBe('ok');
      expect((await health(before)).check['restored_at']).toBeUndefined();
      expect(await before.stop()).toBe(0);

      const archive = path.join(archives, result.archive!.name);
      const restoring = spawnSync(PROGRAM, ['restore', archive, source], { encoding: 'utf8' });
      expect([restoring.status, restoring.stderr]).toEqual([0, expect.any(String)]);
      expect(readFileSync(path.join(source, 'state.txt'), 'utf8')).toBe('precious');
      const after = start(env);
      expect((await health(after)).check).toMatchObject({
        status,
        last_success: '2026-02-01T12:00:00.000Z',
        archive,
        restored_archive: archive,
        restored_archive_timestamp: '2026-02-01T12:00:00.000Z',
        restored_at: expect.stringMatching(/^20/),
      });
      expect(await after.stop()).toBe(0);

      const next = start(env, '--run-now');
      await expect.poll(async () => (await health(next)).check['restored_at'], WAIT).toBeUndefined();
      const { check } = await health(next);
      expect(check['last_success']).not.toBe('2026-02-01T12:00:00.000Z');
      expect(await next.stop()).toBe(0);
    },
  );

  test('a copy after each success; one that fails leaves the backup a success', async () => {
    const location = path.join(root, 'off-site');
    const copies = { KM_BACKUP_COPY_TO: `dir:${location}`, KM_BACKUP_COPY_RECIPIENTS: 'none' };
    const copyCheck = async (served: Served): Promise<Record<string, unknown>> => {
      await health(served);
      const answer = await fetch(`${served.url()}/healthz`);
      const body = (await answer.json()) as { checks: { copy: Record<string, unknown> } };
      return { code: answer.status, ...body.checks.copy };
    };
    // A file where the location should be.
    writeFileSync(location, '');
    const failing = start(copies, '--run-now');
    await expect.poll(async () => (await copyCheck(failing))['status'], WAIT).toBe('error');
    expect(await copyCheck(failing)).toMatchObject({ code: 200, error: expect.stringContaining('off-site') });
    expect((await health(failing)).check['status']).toBe('ok');
    expect(await metric(failing, 'km_backup_copies_total{result="failure"}')).toBe(1);
    expect(await metric(failing, 'km_backup_copy_last_status')).toBe(0);
    expect(await failing.stop()).toBe(0);

    rmSync(location);
    const served = start(copies);
    await expect.poll(async () => (await copyCheck(served))['status'], WAIT).toBe('ok');
    expect(await copyCheck(served)).toMatchObject({ archive: archives()[0], location: `dir:${location}` });
    expect(await metric(served, 'km_backup_copy_bytes_uploaded_total')).toBeGreaterThan(0);
    expect(await metric(served, 'km_backup_copy_last_success_timestamp')).toBeGreaterThan(1e9);
    expect(readdirSync(path.join(location, 'archives/_'))).toContain(`${archives()[0]}.list`);
    expect(await served.stop()).toBe(0);
  });

  test('retention after each success; a missed time is caught up at the start', async () => {
    mkdirSync(destination, { recursive: true });
    for (const day of ['01', '02', '03'])
      writeFileSync(
        path.join(destination, `km-backup-202601${day}T000000Z.tgz`),
        Buffer.from('1f8b0800000000000003030000000000000000', 'hex'),
      );
    writeFileSync(path.join(destination, 'notes.txt'), 'foreign');
    const hour = 3_600_000;
    const past: State = {
      version: 1,
      schedule: 'every 60m',
      anchorMs: Date.now() - 5.5 * hour,
      settledUntilMs: Date.now() - 3.5 * hour,
      runs: { success: 10, incomplete: 0, failure: 0, skipped_lock: 0 },
      retentionDeletes: 4,
      missedSlots: 0,
    };
    writeFileSync(path.join(destination, STATE_NAME), JSON.stringify(past));
    const served = start({ KM_BACKUP_INTERVAL_MINUTES: '60', KM_BACKUP_RETENTION_LIMIT: '2' });
    await expect.poll(async () => (await health(served)).check['status'], WAIT).toBe('ok');
    expect(await metric(served, 'km_backup_runs_total{result="success"}')).toBe(11);
    expect(await metric(served, 'km_backup_retention_deletes_total')).toBe(6);
    expect(await metric(served, 'km_backup_missed_slots_total')).toBe(2);
    expect((await health(served)).check).toMatchObject({ deleted: 2 });
    expect(archives()).toHaveLength(2);
    expect(readdirSync(destination)).toContain('notes.txt');
    expect(await served.stop()).toBe(0);
  });

  test('a damaged piece of the previous archive is packed again, and the log says so', async () => {
    const ahead = () => new Date(Date.now() + 2_100);
    const { result } = await runBackup({ ...createOptions, source, destination, now: ahead });
    const fd = openSync(result.archive!.path, 'r+');
    writeSync(fd, 'XXXX', 100);
    closeSync(fd);
    const served = start({}, '--run-now');
    await expect.poll(async () => (await health(served)).check['status'], WAIT).toBe('ok');
    const line = served
      .log()
      .split('\n')
      .find((each) => each.includes('damaged piece(s)'));
    expect(JSON.parse(line!)).toMatchObject({
      level: 'warn',
      line: expect.stringMatching(/^warning: 1 damaged/),
    });
    expect(await served.stop()).toBe(0);
  });

  test('a destination in use is skipped_lock, not a failure', async () => {
    mkdirSync(destination, { recursive: true });
    const attempt = FileLock.tryLock(path.join(destination, '.km-backup.lock'));
    if (!attempt.acquired) throw new Error('not acquired');
    const served = start({}, '--run-now');
    await expect.poll(served.url, WAIT).toBeDefined();
    await expect.poll(() => metric(served, 'km_backup_runs_total{result="skipped_lock"}'), WAIT).toBe(1);
    expect((await health(served)).check).toEqual({ status: 'pending' });
    attempt.lock.release();
    expect(await served.stop()).toBe(0);
  });
});

describe('variables', () => {
  test('both names of the destination are known, and one that is not known is named', async () => {
    const elsewhere = path.join(root, 'elsewhere');
    const served = start({ KM_BACKUP_DEST: elsewhere, KM_BACKUP_RETENTION: '3' }, '--run-now');
    await expect.poll(async () => (await health(served)).check['status'], WAIT).toBe('ok');
    expect((await health(served)).check['archive']).toMatch(new RegExp(`^${elsewhere}/km-backup-.*\\.tgz$`));
    expect(readdirSync(source)).toEqual(['state.txt']);
    expect(served.log()).toContain(
      'KM_BACKUP_RETENTION is not a variable of km-backup and has no effect: did you mean KM_BACKUP_RETENTION_LIMIT?',
    );
    expect(await served.stop()).toBe(0);
  });

  test('a TMPDIR that is not there does not matter', async () => {
    const served = start({ TMPDIR: path.join(root, 'none') }, '--run-now');
    await expect.poll(async () => (await health(served)).check['status'], WAIT).toBe('ok');
    expect(await served.stop()).toBe(0);
  });
});

test('after a clock that was ahead was corrected, the schedule continues, and /healthz says so', async () => {
  mkdirSync(destination, { recursive: true });
  const year = 365 * 24 * 3_600_000;
  const ahead: State = { ...freshState('every 60m', Date.now() + year), runs: { ...NO_RUNS, success: 3 } };
  writeFileSync(path.join(destination, STATE_NAME), JSON.stringify(ahead));
  const served = start({ KM_BACKUP_INTERVAL_MINUTES: '60' });
  await expect.poll(served.url, WAIT).toBeDefined();
  const body = (await (await fetch(`${served.url()}/healthz`)).json()) as { checks: { clock: object } };
  expect(body.checks.clock).toMatchObject({ status: 'corrected', corrected_at: expect.any(String) });
  expect(served.log()).toContain('the clock was ahead and has been corrected');
  const next = (await metric(served, 'km_backup_next_slot_timestamp'))!;
  expect(next).toBeGreaterThan(Date.now() / 1000);
  expect(next).toBeLessThan(Date.now() / 1000 + 3600);
  expect(await served.stop()).toBe(0);
});

describe('a script', () => {
  test('gets source and destination; what it prints decides', async () => {
    const served = start(
      {
        KM_BACKUP_SCRIPT: script(
          `file="$KM_BACKUP_DEST/km-backup-$(date -u +%Y%m%dT%H%M%SZ).tgz"
           tar -czf "$file" -C "$KM_BACKUP_SOURCE" state.txt && echo "Backup written to $file"`,
        ),
      },
      '--run-now',
    );
    await expect.poll(async () => (await health(served)).check['status'], WAIT).toBe('ok');
    expect(await served.stop()).toBe(0);
    expect(archives()).toHaveLength(1);
  });

  test('its failure answers 503 with what it said', async () => {
    const served = start(
      { KM_BACKUP_SCRIPT: script('echo "cannot reach the vault" >&2; exit 9') },
      '--run-now',
    );
    await expect.poll(async () => (await health(served)).code, WAIT).toBe(503);
    expect((await health(served)).check).toMatchObject({
      status: 'error',
      error: 'script.sh exited with 9: cannot reach the vault',
    });
    expect(await metric(served, 'km_backup_last_status')).toBe(0);
    expect(await served.stop()).toBe(0);
  });

  test('a slow one is ended by SIGTERM, and its scheduled time stays due', async () => {
    const served = start({ KM_BACKUP_SCRIPT: script('sleep 300') }, '--run-now');
    await expect.poll(() => served.log().includes('backup started'), WAIT).toBe(true);
    expect(await served.stop()).toBe(0);
    expect(state()).toMatchObject({ running: { attempt: 0 }, runs: { failure: 0 } });
  });
});

describe('killed', () => {
  test('while a script runs: the next start waits for it, then takes its scheduled time up again', async () => {
    const marks = path.join(root, 'marks');
    const gate = path.join(root, 'gate');
    const body = `echo begin >> ${marks}
       until [ -e ${gate} ]; do sleep 0.05; done
       echo end >> ${marks}
       file="$KM_BACKUP_DEST/km-backup-$(date -u +%Y%m%dT%H%M%SZ).tgz"
       tar -czf "$file" -C "$KM_BACKUP_SOURCE" state.txt && echo "Backup written to $file"`;
    const env = { KM_BACKUP_SCRIPT: script(body) };
    const first = start(env, '--run-now');
    await expect.poll(() => existsSync(marks), WAIT).toBe(true);
    first.kill();
    await first.exited;
    expect(state().running).toMatchObject({ attempt: 1 });
    const again = start(env, '--run-now');
    await expect.poll(() => again.log().includes('is still going; waiting for it to end'), WAIT).toBe(true);
    expect((await health(again)).check).toEqual({ status: 'pending' });
    expect(readFileSync(marks, 'utf8')).toBe('begin\n');
    writeFileSync(gate, '');
    await expect.poll(async () => (await health(again)).check['status'], WAIT).toBe('ok');
    expect(state()).toMatchObject({ runs: { success: 1, failure: 0, skipped_lock: 0 } });
    expect(readFileSync(marks, 'utf8')).toBe('begin\nend\nbegin\nend\n');
    expect(await again.stop()).toBe(0);
  });

  test('while the built-in program runs: it finishes on its own, and its archive counts', async () => {
    const first = start({}, '--run-now');
    await expect.poll(() => first.log().includes('backup started'), WAIT).toBe(true);
    await expect.poll(() => childrenOf(first.pid), WAIT).toHaveLength(1);
    const [orphan] = childrenOf(first.pid);
    process.kill(orphan!, 'SIGSTOP');
    first.kill();
    await first.exited;
    expect(state().running).toMatchObject({ attempt: 1 });
    const again = start({});
    await expect.poll(() => again.log().includes('is still going; waiting for it to end'), WAIT).toBe(true);
    process.kill(orphan!, 'SIGCONT');
    await expect.poll(async () => (await health(again)).check['status'], WAIT).toBe('ok');
    expect(archives()).toHaveLength(1);
    expect((await health(again)).check).toMatchObject({ archive: path.join(destination, archives()[0]!) });
    expect(state()).toMatchObject({ runs: { success: 1, failure: 0, skipped_lock: 0 } });
    expect(readdirSync(destination).filter((name) => name.endsWith('.tmp'))).toEqual([]);
    expect(await again.stop()).toBe(0);
  });

  test("the archive of another series is not that run's", async () => {
    const startedAtMs = Date.now();
    mkdirSync(destination, { recursive: true });
    const cut: State = {
      ...freshState('every 720m', startedAtMs),
      running: { slotMs: startedAtMs, startedAtMs, attempt: 1 },
    };
    writeFileSync(path.join(destination, STATE_NAME), JSON.stringify(cut));
    const args = ['create', `--source=${source}`, `--destination=${destination}`, '--series=other'];
    expect(spawnSync(PROGRAM, args).status).toBe(0);
    const [other] = archives();
    const served = start({});
    await expect.poll(async () => (await health(served)).check['status'], WAIT).toBe('ok');
    expect(archives()).toHaveLength(2);
    expect((await health(served)).check['archive']).not.toBe(path.join(destination, other!));
    expect(await served.stop()).toBe(0);
  });

  test('after the archive was finished: the scheduled time is done', async () => {
    const served = start({}, '--run-now');
    await expect.poll(async () => (await health(served)).check['status'], WAIT).toBe('ok');
    expect(await served.stop()).toBe(0);
    const done = state();
    const startedAtMs = done.lastSuccess!.atMs - 1000 * done.lastRun!.durationSeconds!;
    // As it was on disk before the result was written.
    const { lastRun: _, lastSuccess: __, archives: ___, ...before } = done;
    const cut: State = {
      ...before,
      runs: { ...done.runs, success: 0 },
      running: { slotMs: startedAtMs, startedAtMs, attempt: 1 },
    };
    writeFileSync(path.join(destination, STATE_NAME), JSON.stringify(cut));
    const again = start({});
    expect((await health(again)).check).toMatchObject({ status: 'ok', archive: done.lastSuccess!.archive });
    expect(archives()).toHaveLength(1);
    expect(await metric(again, 'km_backup_runs_total{result="success"}')).toBe(1);
    expect(await again.stop()).toBe(0);
  });

  test('a damaged state is put aside, and said so', async () => {
    mkdirSync(destination, { recursive: true });
    writeFileSync(path.join(destination, STATE_NAME), '{"version":1,');
    const served = start({});
    expect((await health(served)).check).toEqual({ status: 'pending' });
    expect(served.log()).toContain('the state is damaged');
    expect(readdirSync(destination)).toContain(`${STATE_NAME}.damaged`);
    expect(await served.stop()).toBe(0);
  });
});

describe('what does not start', () => {
  test('all bad variables are named in one message', async () => {
    const served = start({
      KM_STATE_PATH: '',
      KM_BACKUP_ENABLED: 'perhaps',
      KM_BACKUP_CRON: '* * *',
      KM_BACKUP_RETENTION_LIMIT: 'seven',
    });
    expect(await served.exited).toBe(2);
    for (const name of ['KM_BACKUP_ENABLED', 'KM_BACKUP_CRON', 'KM_BACKUP_RETENTION_LIMIT'])
      expect(served.log()).toContain(name);
    expect(readdirSync(source)).toEqual(['state.txt']);
  });

  test('paths that are not there, likewise', async () => {
    const served = start({ KM_STATE_PATH: path.join(root, 'none'), KM_BACKUP_SCRIPT: '/no/script' });
    expect(await served.exited).toBe(2);
    expect(served.log()).toMatch(
      /KM_STATE_PATH=.*is not a directory\n.*KM_BACKUP_SCRIPT=.*not an executable file/,
    );
  });
});

test("switched off it leaves another process's state alone", async () => {
  const served = start({}, '--run-now');
  await expect.poll(async () => (await health(served)).check['status'], WAIT).toBe('ok');
  const off = start({ KM_BACKUP_ENABLED: 'false' });
  expect((await health(off)).check).toMatchObject({ status: 'disabled', archive: expect.any(String) });
  expect(state().schedule).toBe('every 720m');
  expect(await off.stop()).toBe(0);
  expect(await served.stop()).toBe(0);
});

test('switched off it serves, and touches nothing', async () => {
  const served = start({ KM_BACKUP_ENABLED: 'false' });
  expect(await health(served)).toEqual({ code: 200, check: { status: 'disabled' } });
  expect(await metric(served, 'km_backup_suspended')).toBe(1);
  expect(await served.stop()).toBe(0);
  expect(readdirSync(source)).toEqual(['state.txt']);
});
