/** The commands on each kind of location: a directory, and three S3 servers that share no code. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { program, Sandbox } from '../support/backup.ts';
import { sha256 } from '../support/copies.ts';
import { S3Server, type ServerKind } from '../support/s3-server.ts';
import { describeTree } from '../support/tree.ts';

interface Done {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

describe.each<['directory' | ServerKind]>([['directory'], ['versitygw'], ['seaweedfs'], ['rclone']])(
  'on %s',
  (kind) => {
    let box: Sandbox;
    let server: S3Server | undefined;
    let location: string;
    let identity: string;
    let recipient: string;
    const first = () =>
      path.join(box.destination, box.names().filter((name) => /^km-backup.*tgz$/.test(name))[0]!);
    const second = () =>
      path.join(box.destination, box.names().filter((name) => /^km-backup.*tgz$/.test(name))[1]!);

    function km(...args: string[]): Promise<Done> {
      return new Promise((resolve) => {
        const more = server ? ['--path-style', '--retry-seconds', '60'] : [];
        const takesLocation = args.some((arg) => arg === location);
        execFile(
          program,
          [...args, ...(takesLocation ? more : [])],
          { env: { ...process.env, ...server?.env }, maxBuffer: 1 << 26 },
          (error, out, err) =>
            resolve({ status: error ? Number(error.code ?? 1) : 0, out: String(out), err: String(err) }),
        );
      });
    }

    beforeAll(async () => {
      box = new Sandbox();
      if (kind === 'directory') location = `dir:${path.join(box.root, 'location')}`;
      else {
        server = await S3Server.start(kind);
        await server.createBucket('backups');
        location = 's3://backups/cluster a/+ü';
      }
      for (let folder = 0; folder < 20; folder++) {
        for (let file = 0; file < 15; file++) box.write(`f${folder}/${file}`, randomBytes(20_000));
      }
      box.clockAheadMs = 3_000;
      await box.back({ series: 'shop/nightly' });
      box.write('f2/3', 'changed');
      box.clockAheadMs = 6_000;
      await box.back({ series: 'shop/nightly' });
    });
    afterAll(async () => {
      await server?.[Symbol.asyncDispose]();
      box[Symbol.dispose]();
    });

    test('location: keygen, init, check', async () => {
      const key = path.join(box.root, 'key.txt');
      const made = await km('location', 'keygen', '--output', key);
      expect(made).toMatchObject({ status: 0, out: expect.stringMatching(/^age1/) });
      recipient = made.out.trim();
      identity = key;
      expect(fs.statSync(key).mode & 0o777).toBe(0o600);
      expect(await km('location', 'init', location)).toMatchObject({ status: 0, err: '' });
      expect(await km('location', 'check', location)).toMatchObject({
        status: 0,
        out: expect.stringContaining('Writing, reading, listing and deleting work.'),
      });
    });

    test('copy stores the first archive whole, and of the next one what changed', async () => {
      const copy = (...more: string[]) =>
        km('copy', ...more, location, '--destination', box.destination, '--recipient', recipient, '--json');
      const report = ({ status, out, err }: Done) => {
        expect({ status, err }).toMatchObject({ status: 0 });
        return JSON.parse(out) as { outcome: string; uploadedBytes: number; reusedBytes: number };
      };
      const one = report(await copy(path.basename(first())));
      expect(one.uploadedBytes).toBeGreaterThan(5_000_000);
      const two = report(await copy());
      expect(two.uploadedBytes).toBeLessThan(1_500_000);
      expect(two.reusedBytes).toBeGreaterThan(4_000_000);
      expect(report(await copy())).toMatchObject({ outcome: 'already-there', uploadedBytes: 0 });
    });

    test('list, ls and verify', async () => {
      const { out } = await km('list', location, '--json');
      expect(JSON.parse(out)).toMatchObject([
        { archive: path.basename(second()), series: 'shop/nightly', state: 'complete', isSealed: true },
        { archive: path.basename(first()), sizeBytes: fs.statSync(first()).size, sha256: sha256(first()) },
      ]);
      const listed = await km('ls', location, '--identity', identity);
      expect(listed.out).toBe((await km('ls', second())).out);
      const deep = await km('verify', location, '--deep', '--identity', identity);
      expect(deep).toMatchObject({ status: 0, out: expect.stringMatching(/^(ok .*\n){2}$/) });
      expect(await km('verify', location)).toMatchObject({ status: 0 });
    });

    test('fetch brings the archive back bit for bit; extract and restore read it', async () => {
      const file = path.join(box.root, 'back.tgz');
      const fetched = await km('fetch', location, path.basename(first()), '-o', file, '--identity', identity);
      expect(fetched).toMatchObject({ status: 0 });
      expect(sha256(file)).toBe(sha256(first()));
      const target = path.join(box.root, 'extracted');
      fs.mkdirSync(target);
      expect(await km('extract', location, 'f2/3', '-C', target, '--identity', identity)).toMatchObject({
        status: 0,
        out: expect.stringContaining('Extracted 1 entries'),
      });
      expect(fs.readFileSync(path.join(target, 'f2/3'), 'utf8')).toBe('changed');
      const restored = path.join(box.root, 'restored');
      expect(
        await km('restore', location, restored, '--identity', identity, '--work-dir', box.root),
      ).toMatchObject({ status: 0 });
      expect(describeTree(restored)).toEqual(describeTree(box.source));
      expect(fs.readdirSync(box.root).filter((name) => name.startsWith('km-backup-'))).toEqual([]);
    });

    test('prune removes what no rule keeps, and packs only after the grace time', async () => {
      const prune = (...more: string[]) =>
        km('prune', location, '--destination', box.destination, '--retention-limit', '1', '--json', ...more);
      const report = ({ out, err }: Done) => ({ err, ...JSON.parse(out) });
      // Archives were made by a clock that is ahead: no rule touches those of the future.
      await expect
        .poll(async () => report(await prune('--dry-run')).pruned, { timeout: 60_000 })
        .toEqual([path.basename(first())]);
      expect(report(await prune('--grace-hours', '0'))).toMatchObject({
        pruned: [path.basename(first())],
        sweptPacks: 0,
        failures: [],
      });
      expect(report(await prune('--grace-hours', '0'))).toMatchObject({ pruned: [], deadPacks: 0 });
      expect(await km('verify', location, '--deep', '--identity', identity)).toMatchObject({ status: 0 });
      const { out } = await km('list', location, '--json');
      expect(JSON.parse(out)).toHaveLength(1);
    });
  },
);
