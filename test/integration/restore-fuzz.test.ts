import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { runBackup } from '../../src/archive/create/run-backup.ts';
import { restore } from '../../src/archive/restore/restore.ts';
import { setTimes } from '../../src/posix/times.ts';
import { setXattr } from '../../src/posix/xattr.ts';
import { describeTree } from '../support/tree.ts';

let base: string;
const at = (...names: string[]) => path.join(base, ...names);
beforeEach(() => {
  base = fs.mkdtempSync(path.join(os.tmpdir(), 'km-fuzz-'));
});
afterEach(() => fs.rmSync(base, { recursive: true, force: true }));

async function backup(source: string, destination: string): Promise<string> {
  const { result } = await runBackup({
    source,
    destination,
    series: undefined,
    compression: 'gzip',
    level: 1,
    exclude: [],
    include: [],
    full: false,
    allowEmpty: true,
    lockWaitMs: 0,
    retention: undefined,
    signal: new AbortController().signal,
    now: () => new Date('2026-01-01T00:00:00Z'),
  });
  return result.archive!.path;
}

const run = (archive: string, target: string) =>
  restore({
    archive,
    target,
    policy: { preserveSetid: true, skipDevices: false },
    oldState: 'remove',
    threads: 1,
    now: () => new Date(),
  });

/** A node of a generated tree; names are bytes. */
interface Node {
  readonly name: Buffer;
  readonly kind: 'file' | 'directory' | 'symlink' | 'hardlink' | 'sparse' | 'fifo';
  readonly content: Uint8Array;
  readonly mode: number;
  readonly mtime: bigint;
  readonly owner: number;
  readonly where: number;
}
const nodeName = fc
  .uint8Array({ minLength: 1, maxLength: 40 })
  .map((bytes) => Buffer.from([...bytes].map((byte) => (byte === 0 || byte === 0x2f ? 0x5f : byte))))
  .filter((name) => !['.', '..'].includes(name.toString('latin1')));
const node = fc.record({
  name: nodeName,
  kind: fc.constantFrom<Node['kind']>(
    'file',
    'file',
    'directory',
    'directory',
    'symlink',
    'hardlink',
    'sparse',
    'fifo',
  ),
  content: fc.uint8Array({ maxLength: 3000 }),
  mode: fc.integer({ min: 0, max: 0o7777 }),
  mtime: fc.bigInt({ min: -(10n ** 18n), max: 4n * 10n ** 18n }),
  owner: fc.constantFrom(0, 1000, 3_000_000),
  where: fc.nat(),
});

function plant(root: string, nodes: readonly Node[]): void {
  const directories: Buffer[] = [Buffer.from(root)];
  const files: Buffer[] = [];
  const made: [Buffer, Node][] = [];
  for (const each of nodes) {
    const parent = directories[each.where % directories.length]!;
    const place = Buffer.concat([parent, Buffer.from('/'), each.name]);
    if (fs.lstatSync(place, { throwIfNoEntry: false })) continue;
    switch (each.kind) {
      case 'directory':
        fs.mkdirSync(place);
        directories.push(place);
        break;
      case 'symlink':
        fs.symlinkSync(
          Buffer.from(each.content.length > 0 ? [...each.content].map((byte) => byte || 1) : [0x61]),
          place,
        );
        break;
      case 'hardlink': {
        const to = files[each.where % Math.max(1, files.length)];
        if (to) fs.linkSync(to, place);
        continue;
      }
      case 'fifo':
        execFileSync('mkfifo', [at('fifo')]);
        fs.renameSync(at('fifo'), place);
        break;
      default: {
        const fd = fs.openSync(place, 'w');
        if (each.kind === 'sparse') fs.ftruncateSync(fd, 300_000 + (each.where % 500_000));
        fs.writeSync(fd, each.content, 0, each.content.length, each.kind === 'sparse' ? 200_000 : 0);
        fs.closeSync(fd);
        files.push(place);
        if (each.owner === 1000) setXattr(place, 'user.test', each.content.subarray(0, 100));
      }
    }
    made.push([place, each]);
  }
  for (const [place, each] of made.reverse()) {
    fs.lchownSync(place, each.owner, each.owner);
    if (each.kind !== 'symlink') fs.chmodSync(place, each.mode);
    setTimes(place, 0n, each.mtime);
  }
}

test('any tree: create, restore, the same tree; and as GNU tar gives it', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(node, { maxLength: 40 }), async (nodes) => {
      for (const name of ['source', 'target', 'by-tar', 'archives']) {
        fs.rmSync(at(name), { recursive: true, force: true });
        fs.mkdirSync(at(name));
      }
      plant(at('source'), nodes);
      const wanted = describeTree(at('source'));
      const archive = await backup(at('source'), at('archives'));
      await run(archive, at('target'));
      expect(describeTree(at('target'))).toEqual(wanted);
      execFileSync('tar', ['-xzpf', archive, '--xattrs', '--xattrs-include=*', '-C', at('by-tar')], {
        stdio: 'pipe',
      });
      expect(describeTree(at('by-tar'))).toEqual(wanted);
    }),
    { numRuns: 25 },
  );
});

describe('damaged archives: refused, or restored right', () => {
  let made: string;
  let bytes: Buffer;
  let manifest: Buffer;
  let wanted: Record<string, unknown>;
  beforeAll(async () => {
    made = fs.mkdtempSync(path.join(os.tmpdir(), 'km-fuzz-made-'));
    fs.mkdirSync(path.join(made, 'source/dir'), { recursive: true });
    for (let i = 0; i < 40; i++) {
      fs.writeFileSync(
        path.join(made, 'source/dir', `${'long-name-'.repeat(i % 14)}${i}`),
        `content of ${i} `.repeat(i * 9),
      );
    }
    fs.symlinkSync('dir', path.join(made, 'source/link'));
    fs.linkSync(path.join(made, 'source/dir/0'), path.join(made, 'source/zero'));
    const archive = await backup(path.join(made, 'source'), path.join(made, 'archives'));
    bytes = fs.readFileSync(archive);
    manifest = fs.readFileSync(`${archive}.manifest`);
    wanted = describeTree(path.join(made, 'source'));
  });
  afterAll(() => fs.rmSync(made, { recursive: true }));

  const change = fc.oneof(
    fc.record({
      kind: fc.constant('flip' as const),
      at: fc.double({ min: 0, max: 0.999, noNaN: true }),
      bit: fc.nat(7),
    }),
    fc.record({ kind: fc.constant('cut' as const), at: fc.double({ min: 0, max: 0.999, noNaN: true }) }),
    fc.record({
      kind: fc.constant('insert' as const),
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      what: fc.uint8Array({ minLength: 1, maxLength: 50 }),
    }),
    fc.record({
      kind: fc.constant('remove' as const),
      at: fc.double({ min: 0, max: 0.999, noNaN: true }),
      length: fc.integer({ min: 1, max: 3000 }),
    }),
    fc.record({ kind: fc.constant('members' as const), order: fc.array(fc.nat(50), { maxLength: 8 }) }),
  );
  type Change = typeof change extends fc.Arbitrary<infer T> ? T : never;

  function damage(data: Buffer, how: Change): Buffer {
    switch (how.kind) {
      case 'flip': {
        const copy = Buffer.from(data);
        copy[Math.floor(how.at * copy.length)]! ^= 1 << how.bit;
        return copy;
      }
      case 'cut':
        return data.subarray(0, Math.floor(how.at * data.length));
      case 'insert': {
        const place = Math.floor(how.at * data.length);
        return Buffer.concat([data.subarray(0, place), how.what, data.subarray(place)]);
      }
      case 'remove': {
        const place = Math.floor(how.at * data.length);
        return Buffer.concat([data.subarray(0, place), data.subarray(place + how.length)]);
      }
      case 'members': {
        const starts: number[] = [];
        for (let i = data.indexOf('1f8b0800', 0, 'hex'); i !== -1; i = data.indexOf('1f8b0800', i + 1, 'hex'))
          starts.push(i);
        const members = starts.map((start, i) => data.subarray(start, starts[i + 1]));
        return Buffer.concat(
          how.order.map((i) => members[i % Math.max(1, members.length)] ?? Buffer.alloc(0)),
        );
      }
    }
  }

  /** Without a manifest nothing tells that whole members are missing; what is there must still be right. */
  function expectRight(got: Record<string, unknown>, partly: boolean): void {
    if (!partly) {
      expect(got).toEqual(wanted);
      return;
    }
    for (const [name, each] of Object.entries(got)) {
      const { type } = each as { type: string };
      if (type === '40000') expect(wanted[name]).toMatchObject({ type });
      else expect(each).toEqual(wanted[name]);
    }
  }

  test.each(['its bytes, with the manifest', 'its bytes, without a manifest', 'the manifest'])(
    '%s',
    async (what) => {
      fs.mkdirSync(at('archives'));
      const archive = at('archives/km-backup-20260101T000000Z.tgz');
      let refused = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 2 }), async (changes) => {
          const damaged = changes.reduce(damage, what === 'the manifest' ? manifest : bytes);
          fs.writeFileSync(archive, what === 'the manifest' ? bytes : damaged);
          if (what !== 'its bytes, without a manifest') {
            fs.writeFileSync(`${archive}.manifest`, what === 'the manifest' ? damaged : manifest);
          }
          fs.rmSync(at('target'), { recursive: true, force: true });
          fs.mkdirSync(at('target'));
          fs.writeFileSync(at('target/live'), 'live');
          fs.writeFileSync(at('outside'), 'outside');
          const live = JSON.stringify(describeTree(at('target')));
          const error: unknown = await run(archive, at('target')).then(
            () => undefined,
            (reason: unknown) => reason,
          );
          if (error === undefined) {
            expectRight(describeTree(at('target')), what === 'its bytes, without a manifest');
          } else {
            expect(error).toMatchObject({ name: 'ArchiveError' });
            expect(JSON.stringify(describeTree(at('target')))).toBe(live);
            refused++;
          }
          expect(fs.readdirSync(base).sort()).toEqual(['archives', 'outside', 'target']);
          expect(fs.readFileSync(at('outside'), 'utf8')).toBe('outside');
        }),
        { numRuns: 120 },
      );
      expect(refused).toBeGreaterThan(60);
    },
  );
});
