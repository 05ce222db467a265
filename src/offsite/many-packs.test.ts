import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { FakeClock } from '../clock/testing/fake-clock.ts';
import { catalogKey, listKey, packsPrefix } from './keys.ts';
import { type ArchiveList, encodeList } from './list-file.ts';
import type { Location, StoredObject } from './location.ts';
import { pruneCopies } from './prune.ts';
import { Throttle } from './throttle.ts';
import { verifyCopies } from './verify.ts';

const PACKS = 10_000;
const PACK_BYTES = 10_000_000;
const modifiedAt = new Date('2026-01-01T00:00:00Z');
const writer = 'f00d';
const archive = 'km-backup-20260101T000000Z.tgz';

/** Small objects have content; packs have only a size. */
class SimulatedLocation implements Location {
  readonly url = 'simulated:';
  readonly objects = new Map<string, Buffer | number>();
  deleted = 0;

  async put(key: string, bytes: Uint8Array): Promise<void> {
    this.objects.set(key, Buffer.from(bytes));
  }
  async get(key: string): Promise<Buffer | undefined> {
    const found = this.objects.get(key);
    return typeof found === 'number' ? Buffer.alloc(found) : found;
  }
  async head(key: string): Promise<StoredObject | undefined> {
    const found = this.objects.get(key);
    return found === undefined
      ? undefined
      : { key, sizeBytes: typeof found === 'number' ? found : found.length, modifiedAt };
  }
  async *list(prefix: string): AsyncGenerator<StoredObject> {
    for (const key of this.objects.keys()) if (key.startsWith(prefix)) yield (await this.head(key))!;
  }
  async delete(key: string): Promise<void> {
    if (this.objects.delete(key)) this.deleted++;
  }
}

function filled(): SimulatedLocation {
  const location = new SimulatedLocation();
  const packs = Array.from({ length: PACKS }, () => `${writer}-${randomBytes(8).toString('hex')}.pack`);
  for (const pack of packs) location.objects.set(packsPrefix('s') + pack, PACK_BYTES);
  const used = packs.slice(0, PACKS / 2);
  const list: ArchiveList = {
    archive,
    series: 's',
    writer,
    sizeBytes: used.length * PACK_BYTES,
    sha256: '0'.repeat(64),
    startedAt: modifiedAt.toISOString(),
    isSealed: false,
    recipients: '',
    isComplete: true,
    manifestParts: 0,
    packBytes: new Map(used.map((pack) => [pack, PACK_BYTES])),
    runs: used.map((pack) => ({ pack, offset: 0, length: PACK_BYTES })),
    manifestRuns: [],
  };
  location.objects.set(listKey('s', archive), Buffer.from(encodeList(list)));
  location.objects.set(catalogKey('s', writer), Buffer.from(JSON.stringify({ archives: [archive] })));
  return location;
}

test('10,000 packs (100 GB) are verified and swept without reading one', async () => {
  const location = filled();
  const before = process.memoryUsage().rss;
  const [result] = await Array.fromAsync(
    verifyCopies([{ archive, series: 's', key: '' }], { location, deep: false }),
  );
  expect(result).toMatchObject({ sound: true, packs: PACKS / 2 });
  const prune = (day: number) =>
    pruneCopies({
      location,
      series: 's',
      policy: { limit: 1 },
      writer,
      takeOver: false,
      graceMs: 86_400_000,
      now: new Date(Date.UTC(2026, 1, day)),
      dryRun: false,
    });
  expect(await prune(1)).toMatchObject({ sweptPacks: 0, deadPacks: PACKS / 2 });
  expect(await prune(3)).toMatchObject({ sweptPacks: PACKS / 2, sweptBytes: (PACKS / 2) * PACK_BYTES });
  expect(location.deleted).toBe(PACKS / 2);
  expect(process.memoryUsage().rss - before).toBeLessThan(150_000_000);
});

test('a bandwidth limit holds for all transfers together', async () => {
  const clock = new FakeClock();
  const throttle = new Throttle(1000, clock);
  const start = clock.monotonic();
  const transfers = Promise.all(Array.from({ length: 10 }, () => throttle.take(500)));
  let done = false;
  void transfers.then(() => {
    done = true;
  });
  await clock.advanceAsync(4400);
  expect(done).toBe(false);
  await clock.advanceAsync(200);
  await transfers;
  expect(clock.monotonic() - start).toBeGreaterThanOrEqual(4500);
});
