import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectWords, kmBackup } from '../support/km-backup.ts';

/*
 * Archives and manifests that the system refuses to read: nothing is known about their content, so no command may call
 * them corrupt, advise to remove them, or remove them.
 */

let base: string;
const at = (...names: string[]) => path.join(base, ...names);
const OLD = 'km-backup-20260101T000000Z.tgz';
const MIDDLE = 'km-backup-20260102T000000Z.tgz';
const NEW = 'km-backup-20260103T000000Z.tgz';

beforeAll(async () => {
  base = fs.mkdtempSync(path.join(os.tmpdir(), 'km-unreadable-'));
  fs.chmodSync(base, 0o755);
  fs.mkdirSync(at('source'));
  fs.writeFileSync(at('source/file'), 'content');
  fs.mkdirSync(at('archives'));
  const made = await kmBackup(['create', '--source', at('source'), '--destination', at('archives')]);
  const [name] = /km-backup-\S+\.tgz/.exec(made.stdout)!;
  for (const kind of ['no-archive', 'no-manifest', 'no-directory']) {
    fs.mkdirSync(at(kind));
    fs.chmodSync(at(kind), 0o777);
    for (const stamp of [OLD, MIDDLE, NEW]) {
      fs.copyFileSync(at('archives', name), at(kind, stamp));
      const manifest = fs.readFileSync(at('archives', `${name}.manifest`));
      fs.writeFileSync(at(kind, `${stamp}.manifest`), manifest);
      for (const file of [stamp, `${stamp}.manifest`]) fs.chmodSync(at(kind, file), 0o644);
    }
  }
  fs.chmodSync(at('no-archive', OLD), 0o600);
  fs.chmodSync(at('no-manifest', `${OLD}.manifest`), 0o600);
  fs.chmodSync(at('no-directory'), 0o700);
  if (process.getuid?.() !== 0) fs.chmodSync(at('no-directory'), 0);
  fs.mkdirSync(at('target'));
  fs.chmodSync(at('target'), 0o777);
});
afterAll(() => {
  fs.chmodSync(at('no-directory'), 0o700);
  fs.rmSync(base, { recursive: true, force: true });
});

const stranger = { asStranger: true } as const;

describe.each(['no-archive', 'no-manifest'])('%s may not be opened', (kind) => {
  const archive = () => at(kind, OLD);

  test('list shows the state and why', async () => {
    const [text, json] = await Promise.all([
      kmBackup(['list', '--destination', at(kind)], stranger),
      kmBackup(['list', '--destination', at(kind), '--json'], stranger),
    ]);
    expectWords(text);
    expect(text.code).toBe(0);
    expect(text.stdout).toMatch(new RegExp(`${OLD} .* unreadable `));
    expect(text.stdout).not.toContain('corrupt');
    expect(text.stderr).toMatch(
      /EACCES.*belongs to user \d+ and group \d+ with mode 0600; this process runs as user/,
    );
    const rows = JSON.parse(json.stdout) as { name: string; class: string; problem: string | null }[];
    expect(rows.find(({ name }) => name === OLD)).toMatchObject({
      class: 'unreadable',
      problem: expect.stringContaining('mode 0600'),
    });
  });

  test('verify gives a verdict on each, and ends with 1', async () => {
    const ended = await kmBackup(['verify', '--all', '--destination', at(kind)], stranger);
    expectWords(ended);
    expect(ended.code).toBe(1);
    expect(ended.stdout).toMatch(new RegExp(`unreadable .*${OLD}.*mode 0600`));
    expect(ended.stdout.match(/^ok /gm)).toHaveLength(2);
    expect(ended.stdout).not.toContain('BAD');
  });

  test.each([
    ['ls', () => ['ls', archive()]],
    ['extract', () => ['extract', archive(), 'file', '-C', at('target')]],
    ['restore', () => ['restore', archive(), at('target/new')]],
    ['restore --dry-run', () => ['restore', '--dry-run', archive(), at('target/new')]],
    ['verify', () => ['verify', '--deep', archive()]],
  ])('%s ends with 1 and says who may read it', async (_, args) => {
    const ended = await kmBackup(args(), stranger);
    expectWords(ended);
    expect(ended.code).toBe(1);
    expect(ended.stderr + ended.stdout).toMatch(/EACCES.*mode 0600.*this process runs as user/);
    expect(ended.stderr + ended.stdout).not.toMatch(/corrupt|damaged(?!,)|remove/i);
  });

  test('prune neither counts nor removes it', async () => {
    const prune = ['prune', '--destination', at(kind), '--retention-limit', '1'];
    const ended = await kmBackup([...prune, '--dry-run'], stranger);
    expectWords(ended);
    expect(ended.stdout).toMatch(new RegExp(`${OLD} .* unreadable +keep `));
    expect(ended.stdout).toMatch(new RegExp(`${MIDDLE} .* complete +remove `));
    expect(ended.stdout).not.toContain('corrupt');
  });
});

test.each([
  ['list', () => ['list', '--destination', at('no-directory')]],
  ['verify', () => ['verify', '--all', '--destination', at('no-directory')]],
  ['prune', () => ['prune', '--destination', at('no-directory'), '--retention-limit', '1', '--dry-run']],
  ['verify of one', () => ['verify', at('no-directory', OLD)]],
  ['ls', () => ['ls', at('no-directory', OLD)]],
])('%s of a folder that may not be opened', async (_, args) => {
  const ended = await kmBackup(args(), stranger);
  expectWords(ended);
  expect(ended.code).toBe(1);
  expect(ended.stderr + ended.stdout).toMatch(
    /EACCES.*no-directory belongs to user \d+ and group \d+ with mode 0\d00/,
  );
});

test('a device that fails while being read is not damage', async () => {
  // Reading a process's memory at 0 gives EIO.
  const ended = await kmBackup(['verify', '/proc/self/mem']);
  expectWords(ended);
  expect(ended.code).toBe(1);
  expect(ended.stdout).toMatch(/unreadable \/proc\/self\/mem cannot be read \(EIO\)/);
});
