/** The schedules of the pictures, and what happens to their data in a week. */
import fs from 'node:fs';
import path from 'node:path';
import { seeded } from '../../test/soak/random.ts';

/** Pods are created by the API server's clock. */
const PATIENT = { startDeadlineSeconds: 2_000_000_000, activeDeadlineSeconds: 2_000_000_000 };
const OFFSITE = { copies: [{ locationRef: { name: 'offsite' } }] };
const scratch = { size: '1Gi' };
const drill = (when: object) => ({
  drill: { ...when, scratch, checks: { json: ['*.json'] }, startDeadlineSeconds: 2_000_000_000 },
});

/** By `namespace/schedule`. Every time lies on an even hour. */
export const SCHEDULES: Readonly<Record<string, { readonly cron: string } & Record<string, unknown>>> = {
  'shop/orders': {
    cron: '0 */2 * * *',
    retention: { limit: 24, keepDaily: 7 },
    ...OFFSITE,
    ...drill({ every: 6 }),
  },
  'shop/uploads': { cron: '0 */4 * * *', retention: { limit: 12 }, ...OFFSITE },
  'billing/ledger': { cron: '0 */6 * * *', retention: { limit: 14 }, ...OFFSITE },
  'billing/reports': { cron: '0 4 * * *' },
  'media/photos': { cron: '0 */12 * * *', guard: { maxShrinkPercent: 50 }, ...drill({ cron: '0 6 * * *' }) },
  'wiki/pages': { cron: '0 */2 * * *', retention: { limit: 36 } },
  'wiki/search': { cron: '0 2 * * *', retention: { limit: 3 } },
};
export const NAMESPACES = [...new Set(Object.keys(SCHEDULES).map((key) => key.split('/')[0]!))];
/** Namespaces with a KmBackupLocation `offsite`: a folder of the claim `offsite`. */
export const LOCATIONS = ['shop', 'billing'];
export const HOURS = 168;
/** The operator does not run from the first hour to the second. */
export const OUTAGE = [118, 123] as const;

export const specOf = (key: string) => ({
  source: { persistentVolumeClaim: { claimName: key.split('/')[1] } },
  destination: { persistentVolumeClaim: { claimName: 'archives' }, path: key.split('/')[1] },
  ...PATIENT,
  ...SCHEDULES[key],
});

const random = seeded(7);
/** Text that shrinks to about a third, as the rows of a database. */
const rows = (kib: number) =>
  Array.from(
    { length: kib * 16 },
    () =>
      `{"item":"${Math.floor(random() * 1e15)
        .toString(36)
        .padStart(11, '0')}","state":"sent","customer":${Math.floor(random() * 9e5) + 1e5}}\n`,
  ).join('');
const noise = (kib: number) => Buffer.from(Uint8Array.from({ length: kib * 1024 }, () => random() * 256));

/** What applications did before this hour. */
export function work(hour: number, folder: (claim: string) => string): void {
  const write = (claim: string, name: string, content: string | Buffer, flag = 'w') =>
    fs.writeFileSync(path.join(folder(claim), name), content, { flag });
  const day = Math.floor(hour / 24);
  const isBusy = hour % 24 >= 8 && hour % 24 <= 20;
  write('shop/orders', `orders-${day}.jsonl`, rows(isBusy ? 600 : 120), 'a');
  write('shop/orders', 'totals.json', JSON.stringify({ hour }));
  if (isBusy || hour === 0) write('shop/uploads', `upload-${hour}.bin`, noise(400 + random() * 900));
  if (hour % 6 === 0) write('billing/ledger', `ledger-${hour}.csv`, rows(300));
  if (hour === 0) for (let file = 0; file < 24; file++) write('billing/reports', `${file}.txt`, rows(60));
  if (hour === 140)
    for (const file of fs.readdirSync(folder('billing/reports')))
      fs.rmSync(path.join(folder('billing/reports'), file));
  if (hour === 150) fs.renameSync(folder('billing/offsite'), `${folder('billing/offsite')}.away`);
  write('media/photos', `photo-${hour}.jpg`, noise(150));
  write('media/photos', 'index.json', hour < 140 ? JSON.stringify({ hour }) : '{"hour":');
  if (hour === 152)
    for (let old = 0; old < 120; old += 2) fs.rmSync(path.join(folder('media/photos'), `photo-${old}.jpg`));
  write('wiki/pages', `page-${hour}.md`, rows(20));
  write('wiki/search', 'index.bin', noise(300));
  const lock = path.join(folder('wiki/pages'), 'page-96.md');
  if (hour === 98 || hour === 162) fs.chmodSync(lock, 0);
  if (hour === 108) fs.chmodSync(lock, 0o644);
}
