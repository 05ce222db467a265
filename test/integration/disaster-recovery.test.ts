/** docs/disaster-recovery.md: every command of the page, against a bucket, with nothing but the bucket and the identity. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { checkout, Sandbox } from '../support/backup.ts';
import { sha256 } from '../support/copies.ts';
import { S3Server } from '../support/s3-server.ts';
import { describeTree } from '../support/tree.ts';

let server: S3Server;
let box: Sandbox;
beforeAll(async () => {
  server = await S3Server.start('versitygw');
  await server.createBucket('backups');
  box = new Sandbox();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  box[Symbol.dispose]();
});

test('the page restores the tree in each of its ways', async () => {
  for (let file = 0; file < 50; file++) box.write(`data/${file}`, randomBytes(20_000));
  box.write('notes/today', 'precious');
  const work = path.join(box.root, 'elsewhere');
  fs.mkdirSync(work);
  const env = {
    ...process.env,
    ...server.env,
    BUCKET: 'backups',
    PATH: `${path.join(checkout, 'bin')}:${process.env['PATH']}`,
    KM_BACKUP_DEST: box.destination,
  };
  // Without pipefail: `head` ends before `tail` has written everything.
  const shell = (commands: string) =>
    execFileSync('sh', ['-euc', commands], { cwd: work, env, encoding: 'utf8' });
  const recipient = shell('km-backup location keygen -o key.txt').trim();
  const copy = `km-backup copy s3://backups/cluster-a --path-style --recipient ${recipient}`;
  box.clockAheadMs = 3_000;
  await box.back({ series: 'shop/nightly' });
  shell(copy);
  box.write('data/7', 'changed');
  box.clockAheadMs = 6_000;
  const { result } = await box.back({ series: 'shop/nightly' });
  shell(copy);

  const page = fs.readFileSync(path.join(checkout, 'docs/disaster-recovery.md'), 'utf8');
  const withoutCluster = page.slice(0, page.indexOf('## On a new cluster'));
  const blocks = [...withoutCluster.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, block]) => block!);
  expect(blocks.length).toBeGreaterThan(7);
  expect(shell(blocks.join('\n'))).toContain('by-hand.tgz: OK');

  const source = describeTree(box.source);
  for (const place of ['restored', 'by-tar', 'by-hand']) {
    expect([place, describeTree(path.join(work, place))]).toEqual([place, source]);
  }
  expect(fs.readFileSync(path.join(work, 'some/notes/today'), 'utf8')).toBe('precious');
  for (const file of ['archive.tgz', 'by-hand.tgz'])
    expect(sha256(path.join(work, file))).toBe(result.archive!.sha256);
});
