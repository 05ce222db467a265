import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Member, readMemberLines, readSummary } from '../../src/archive/index.ts';
import { generateKeyPair, type KeyPair, Opener, Sealer } from '../../src/offsite/age.ts';
import { fetchMembers, findList } from '../../src/offsite/fetch.ts';
import { sealObject } from '../../src/offsite/growing-object.ts';
import { openLocation } from '../../src/offsite/location-identity.ts';
import { pruneCopies } from '../../src/offsite/prune.ts';
import { listedArchives } from '../../src/offsite/stored-archives.ts';
import { verifyCopies } from '../../src/offsite/verify.ts';
import { Sandbox } from '../support/backup.ts';
import { CountingLocation, copyTo, fetchFrom, sha256 } from '../support/copies.ts';
import { describeTree } from '../support/tree.ts';

let box: Sandbox;
let location: CountingLocation;
let keys: KeyPair;
beforeEach(async () => {
  box = new Sandbox();
  location = new CountingLocation(path.join(box.root, 'location'));
  keys = await generateKeyPair();
});
afterEach(() => box[Symbol.dispose]());

/** Files of several folders, incompressible, so that members are as large as their files. */
function fill(folders: number, files: number, bytes = 20_000): void {
  for (let folder = 0; folder < folders; folder++)
    for (let file = 0; file < files; file++) box.write(`f${folder}/${file}`, randomBytes(bytes));
}

async function backUp(): Promise<string> {
  box.clockAheadMs += 5_000;
  const { result } = await box.back();
  return result.archive!.path;
}

describe.each([
  ['plain', false],
  ['encrypted', true],
])('copies that are %s', (_, isSealed) => {
  const options = () => ({ sealer: isSealed ? new Sealer([keys.recipient]) : undefined });
  const reader = () => ({ opener: isSealed ? new Opener([keys.identity]) : undefined });

  test('come back bit for bit, and a second copy stores nothing', async () => {
    fill(3, 20);
    const archive = await backUp();
    const report = await copyTo(location, archive, options());
    // One of members, one of the manifest.
    expect(report).toMatchObject({ outcome: 'copied', reusedBytes: 0, packs: 2 });
    const back = await fetchFrom(box, location, path.basename(archive), reader());
    expect([sha256(back), sha256(`${back}.manifest`)]).toEqual([
      sha256(archive),
      sha256(`${archive}.manifest`),
    ]);
    location.puts.length = 0;
    expect(await copyTo(location, archive, options())).toMatchObject({
      outcome: 'already-there',
      uploadedBytes: 0,
    });
    expect(location.puts).toEqual([]);
  });

  test('of the next archive store the members that changed, and all come back', async () => {
    fill(20, 20);
    const first = await backUp();
    await copyTo(location, first, options());
    for (let file = 0; file < 5; file++) box.write(`f7/${file}`, randomBytes(20_000));
    const second = await backUp();
    const report = await copyTo(location, second, options());
    // One folder of 20 files of 20 kB, in members of at most 256 KiB.
    expect(report.uploadedBytes).toBeLessThan(1_000_000);
    expect(report.reusedBytes).toBeGreaterThan(6_000_000);
    for (const archive of [first, second]) {
      const back = await fetchFrom(box, location, path.basename(archive), reader());
      expect(sha256(back)).toBe(sha256(archive));
    }
  });
});

test('anyone restores a copy with age and tar, by the recipe in the location', async () => {
  fill(4, 10);
  const archive = await backUp();
  box.write('f1/3', 'changed');
  await copyTo(location, archive, { sealer: new Sealer([keys.recipient]) });
  const second = await backUp();
  await copyTo(location, second, { sealer: new Sealer([keys.recipient]) });
  const work = path.join(box.root, 'work');
  fs.mkdirSync(work);
  fs.writeFileSync(path.join(work, 'key.txt'), `${keys.identity}\n`);
  const root = path.join(box.root, 'location');
  for (const pack of fs.readdirSync(path.join(root, 'packs/_'))) {
    fs.copyFileSync(path.join(root, 'packs/_', pack), path.join(work, pack));
  }
  const name = path.basename(second);
  fs.copyFileSync(path.join(root, 'archives/_', `${name}.list`), path.join(work, `${name}.list`));
  const recipe = fs.readFileSync(path.join(root, 'README.txt'), 'utf8');
  const commands = recipe
    .split('\n')
    .filter((line) => line.startsWith('  '))
    .map((line) => line.replaceAll('ARCHIVE', name))
    .join('\n');
  execFileSync('sh', ['-ec', commands], { cwd: work });
  expect(describeTree(path.join(work, 'restored'))).toEqual(describeTree(box.source));
});

test('whoever reads the location sees names of archives, and neither names nor content of files', async () => {
  const secret = randomBytes(40).toString('hex');
  box.write(`name-${secret}`, `content-${secret}`);
  box.write('random', randomBytes(50_000));
  const archive = await backUp();
  await copyTo(location, archive, { sealer: new Sealer([keys.recipient]) });
  const digests: string[] = [];
  for await (const { member } of readMemberLines(`${archive}.manifest`)) digests.push(member.sha256);
  const salt = fs.readFileSync(path.join(box.destination, '.km-backup-salt'));
  for await (const { key } of location.list('')) {
    const bytes = (await location.get(key))!;
    const isPlain = /\.(list|index|catalog|json|txt)$/.test(key);
    expect([key, isPlain || bytes.subarray(0, 21).toString()]).toEqual([
      key,
      isPlain || 'age-encryption.org/v1',
    ]);
    for (const word of [secret, ...digests]) expect([key, bytes.includes(word)]).toEqual([key, false]);
    for (const raw of [salt, ...digests.map((one) => Buffer.from(one, 'hex'))])
      expect([key, bytes.includes(raw)]).toEqual([key, false]);
  }
});

test('the manifest costs what changed, too', async () => {
  // Empty files, so that nearly all that is stored is the manifest.
  for (let folder = 0; folder < 40; folder++)
    for (let file = 0; file < 100; file++)
      box.write(`f${folder}/${file}-${randomBytes(8).toString('hex')}`, '');
  const first = await copyTo(location, await backUp());
  box.write('f20/new', '');
  const second = await copyTo(location, await backUp());
  expect(second.uploadedBytes).toBeLessThan(first.uploadedBytes / 5);
});

test('a manifest is not scattered over more packs than a reader should ask for', async () => {
  for (let folder = 0; folder < 100; folder++)
    for (let file = 0; file < 60; file++) box.write(`f${folder}/${file}-${'long'.repeat(40)}`, '');
  let most = 0;
  for (let day = 0; day < 24; day++) {
    box.write(`f${(7 * day) % 100}/new-${day}`, `${day}`);
    const archive = await backUp();
    await copyTo(location, archive);
    const list = await findList({ location, series: '', archive: path.basename(archive), opener: undefined });
    most = Math.max(most, new Set(list.manifestRuns.map(({ pack }) => pack)).size);
    if (day === 23) {
      const back = await fetchFrom(box, location, path.basename(archive));
      expect(sha256(`${back}.manifest`)).toBe(sha256(`${archive}.manifest`));
    }
  }
  expect(most).toBe(16);
});

test('a copy of an earlier version, with its manifest as an object, comes back and is pruned', async () => {
  fill(10, 10);
  const archive = await backUp();
  const keyPair = new Sealer([keys.recipient]);
  await copyTo(location, archive, { sealer: keyPair });
  const name = path.basename(archive);
  const key = (suffix: string) => `archives/_/${name}${suffix}`;
  const list = (await location.get(key('.list')))!.toString();
  const earlier = list
    .replace(/^# manifest(Table)? .*\n/gm, '')
    .replace('# manifestParts 0', '# manifestParts 1');
  await location.put(key('.list'), Buffer.from(earlier));
  const manifest = fs.readFileSync(`${archive}.manifest`);
  // 16 bytes of header and 20 for each member.
  const { members } = readSummary(`${archive}.manifest`)!;
  await location.put(key('.index'), (await location.get(key('.index')))!.subarray(0, 16 + 20 * members));
  await location.put(key('.manifest.age'), await sealObject(keyPair, manifest));
  const back = await fetchFrom(box, location, name, { opener: new Opener([keys.identity]) });
  expect(sha256(`${back}.manifest`)).toBe(sha256(`${archive}.manifest`));
  const reader = { location, deep: true, opener: new Opener([keys.identity]) };
  const [verdict] = await Array.fromAsync(verifyCopies(await listedArchives(location, ''), reader));
  expect(verdict).toMatchObject({ sound: true });
  // Its members are found again, and its manifest object goes with it.
  box.write('f0/0', 'changed');
  const next = await backUp();
  expect((await copyTo(location, next, { sealer: keyPair })).reusedBytes).toBeGreaterThan(0);
  const writer = /^# writer "(.*)"$/m.exec(list)![1]!;
  const now = new Date(Date.parse('2027-01-01T00:00:00Z'));
  await pruneCopies({
    ...{ location, series: '', policy: { limit: 1 }, writer, takeOver: false },
    ...{ graceMs: 0, now, dryRun: false },
  });
  expect(await location.get(key('.list'))).toBeUndefined();
  expect(await location.get(key('.manifest.age'))).toBeUndefined();
  await fetchFrom(box, location, path.basename(next), { opener: new Opener([keys.identity]) });
});

test('members of packs that are mostly dead are stored again, so that old packs can go', async () => {
  fill(20, 10);
  await copyTo(location, await backUp());
  const [old] = location.packsPut();
  for (let folder = 0; folder < 12; folder++)
    for (let file = 0; file < 10; file++) box.write(`f${folder}/${file}`, randomBytes(20_000));
  const next = await backUp();
  await copyTo(location, next);
  const list = await findList({ location, series: '', archive: path.basename(next), opener: undefined });
  expect(list.runs.map(({ pack }) => pack)).not.toContain(path.basename(old!));
});

test('a copy killed before any write leaves no list, and the next one stores no confirmed pack again', async () => {
  fill(10, 10, 5_000);
  const packBytes = 50_000;
  const archive = await backUp();
  const whole = new CountingLocation(path.join(box.root, 'whole'));
  await copyTo(whole, archive, { packBytes });
  const writes = whole.puts.length;
  expect(writes).toBeGreaterThan(6);
  for (let killed = 0; killed < writes; killed++) {
    const place = new CountingLocation(path.join(box.root, `killed-${killed}`));
    let left = killed;
    place.before = (verb) => {
      if (verb === 'put' && left-- === 0) throw new Error('killed');
    };
    await expect(copyTo(place, archive, { uploads: 1, packBytes })).rejects.toThrow('killed');
    expect(
      fs.existsSync(path.join(box.root, `killed-${killed}`, 'archives/_', `${path.basename(archive)}.list`)),
    ).toBe(false);
    const confirmed = place.packsPut();
    place.before = () => {};
    await copyTo(place, archive, { packBytes });
    const again = place.packsPut();
    const all = whole.puts.filter((key) => key.startsWith('packs/')).length;
    expect([killed, confirmed.length + again.length]).toEqual([killed, all]);
    expect(sha256(await fetchFrom(box, place, path.basename(archive)))).toBe(sha256(archive));
  }
});

test('a lost, cut, altered or exchanged pack is named, and no archive is made of it', async () => {
  fill(10, 10, 5_000);
  const packBytes = 200_000;
  const archive = await backUp();
  await copyTo(location, archive, { packBytes });
  const folder = path.join(box.root, 'location/packs/_');
  const [one, other] = fs
    .readdirSync(folder)
    .map((name) => path.join(folder, name))
    .sort((a, b) => fs.statSync(b).size - fs.statSync(a).size);
  const original = fs.readFileSync(one!);
  const altered = Buffer.from(original);
  altered[1000]! ^= 1;
  const cases: [string, () => void, RegExp][] = [
    ['lost', () => fs.rmSync(one!), /PackMissing|missing/],
    ['cut', () => fs.writeFileSync(one!, original.subarray(0, 1000)), /was cut or replaced/],
    ['altered', () => fs.writeFileSync(one!, altered), /digest/],
    ['exchanged', () => fs.copyFileSync(other!, one!), /digest|cut or replaced/],
  ];
  for (const [name, damage, message] of cases) {
    damage();
    const outcome = await fetchFrom(box, location, path.basename(archive)).catch(String);
    expect([name, outcome]).toEqual([name, expect.stringMatching(message)]);
    const [verdict] = await Array.fromAsync(
      verifyCopies(await listedArchives(location, ''), { location, deep: true }),
    );
    expect([name, verdict]).toEqual([
      name,
      expect.objectContaining({ sound: false, problem: expect.stringMatching(/pack/) }),
    ]);
    fs.writeFileSync(one!, original);
  }
  fs.rmSync(one!);
  // The next copy finds that the pack is gone and stores its members again.
  box.write('new', 'file');
  const next = await backUp();
  await copyTo(location, next);
  expect(sha256(await fetchFrom(box, location, path.basename(next)))).toBe(sha256(next));
});

test('without an identity that fits nothing is read, in words', async () => {
  fill(1, 3);
  const archive = await backUp();
  await copyTo(location, archive, { sealer: new Sealer([keys.recipient]) });
  const name = path.basename(archive);
  await expect(fetchFrom(box, location, name)).rejects.toMatchObject({ reason: 'IdentityMismatch' });
  const other = new Opener([(await generateKeyPair()).identity]);
  await expect(fetchFrom(box, location, name, { opener: other })).rejects.toThrow(/other recipients/);
});

test('each of several recipients reads a copy; after an exchange, old copies with the old identity', async () => {
  fill(1, 3);
  const [old, next] = [await generateKeyPair(), await generateKeyPair()];
  const first = await backUp();
  await copyTo(location, first, { sealer: new Sealer([keys.recipient, old.recipient]) });
  box.write('f0/new', randomBytes(20_000));
  const second = await backUp();
  await copyTo(location, second, { sealer: new Sealer([keys.recipient, next.recipient]) });
  const reads = (archive: string, ...pairs: KeyPair[]) =>
    fetchFrom(box, location, path.basename(archive), {
      opener: new Opener(pairs.map(({ identity }) => identity)),
    });
  for (const pairs of [[keys], [old], [old, next]])
    expect(sha256(await reads(first, ...pairs))).toBe(sha256(first));
  for (const pairs of [[keys], [next]]) expect(sha256(await reads(second, ...pairs))).toBe(sha256(second));
  await expect(reads(first, next)).rejects.toMatchObject({ reason: 'IdentityMismatch' });
  await expect(reads(second, old)).rejects.toMatchObject({ reason: 'IdentityMismatch' });
  box.write('f0/plain', 'x');
  // What was encrypted is not used in an unencrypted copy, nor the other way round.
  const third = await backUp();
  expect(await copyTo(location, third)).toMatchObject({ reusedBytes: 0 });
  expect(sha256(await fetchFrom(box, location, path.basename(third)))).toBe(sha256(third));
});

test('an archive that is pruned while it is copied is copied to its end', async () => {
  fill(5, 10, 5_000);
  const archive = await backUp();
  const digest = sha256(archive);
  location.before = (verb, key) => {
    if (!key.startsWith('packs/')) return;
    expect(verb).toBe('put');
    for (const file of [archive, `${archive}.manifest`]) fs.rmSync(file, { force: true });
  };
  await copyTo(location, archive, { packBytes: 50_000 });
  location.before = () => {};
  expect(sha256(await fetchFrom(box, location, path.basename(archive)))).toBe(digest);
});

test('a folder of archives that cannot be written is named', async () => {
  fill(1, 1);
  const archive = await backUp();
  // Stands for a file system that is mounted read-only, which root can write otherwise.
  fs.mkdirSync(path.join(box.destination, '.km-backup-copy.lock'));
  await expect(copyTo(location, archive)).rejects.toMatchObject({
    reason: 'DestinationUnusable',
    message: expect.stringContaining(`${box.destination} cannot be written (EISDIR)`),
  });
});

test('a lost salt costs a full copy, and nothing else', async () => {
  fill(3, 10);
  const first = await backUp();
  await copyTo(location, first);
  fs.rmSync(path.join(box.destination, '.km-backup-salt'));
  box.write('more', 'x');
  const second = await backUp();
  expect(await copyTo(location, second)).toMatchObject({ reusedBytes: 0 });
  for (const archive of [first, second])
    expect(sha256(await fetchFrom(box, location, path.basename(archive)))).toBe(sha256(archive));
});

test.each([
  ['plain', false],
  ['encrypted', true],
])('reading one file of a copy that is %s fetches little more than its member', async (_, isSealed) => {
  fill(100, 10, 5_000);
  const archive = await backUp();
  await copyTo(location, archive, { sealer: isSealed ? new Sealer([keys.recipient]) : undefined });
  const wanted: Member[] = [];
  for await (const { member, lines } of readMemberLines(`${archive}.manifest`))
    if (lines.some((line) => line.includes('"path":"f55/5"'))) wanted.push(member);
  const opener = isSealed ? new Opener([keys.identity]) : undefined;
  const options = { location, series: '', archive: path.basename(archive), opener };
  const list = await findList(options);
  const file = path.join(box.root, 'sparse');
  location.bytesRead = 0;
  const { packs } = await fetchMembers(options, list, wanted, file);
  const bytes = wanted.reduce((sum, { size }) => sum + size, 0);
  expect([packs, location.bytesRead >= bytes]).toEqual([1, true]);
  expect(location.bytesRead).toBeLessThan(bytes + 3 * 65_600);
  expect(location.bytesRead).toBeLessThan(list.sizeBytes / 4);
  const [pack] = list.packBytes.keys();
  const stored = path.join(box.root, 'location/packs/_', pack!);
  const original = fs.readFileSync(stored);
  fs.truncateSync(stored, 10_000);
  await expect(fetchMembers(options, list, wanted, `${file}-cut`)).rejects.toThrow(/cut/);
  fs.writeFileSync(stored, original);
  for (const member of wanted) {
    const piece = (from: string) =>
      fs.readFileSync(from).subarray(member.offset, member.offset + member.size);
    expect(piece(file).equals(piece(archive))).toBe(true);
  }
});

test('every pack is fetched once, however often archives go back and forth between old and new ones', async () => {
  fill(30, 10);
  for (let turn = 0; turn < 3; turn++) {
    await copyTo(location, await backUp(), { packBytes: 300_000 });
    for (let folder = turn; folder < 30; folder += 6) box.write(`f${folder}/3`, randomBytes(20_000));
  }
  const [newest] = await listedArchives(location, '');
  const list = await findList({ location, series: '', archive: newest!.archive, opener: undefined });
  const packsOf = (runs: readonly { readonly pack: string }[]) => new Set(runs.map(({ pack }) => pack));
  const packs = packsOf(list.runs);
  expect(list.runs.length).toBeGreaterThan(packs.size);
  let gets: string[] = [];
  location.before = (verb, key) => {
    if (verb === 'get' && key.startsWith('packs/')) gets.push(path.basename(key));
  };
  // First those of the manifest, without which nothing is known of the rest.
  const expected = [...packsOf(list.manifestRuns), ...packs].sort();
  await fetchFrom(box, location, newest!.archive);
  expect(gets.sort()).toEqual(expected);
  gets = [];
  await Array.fromAsync(verifyCopies([newest!], { location, deep: true }));
  expect(gets.sort()).toEqual(expected);
});

test('a list of another archive is not taken', async () => {
  fill(1, 3);
  const first = await backUp();
  box.write('f0/0', 'changed');
  const second = await backUp();
  for (const archive of [first, second]) await copyTo(location, archive);
  const file = (archive: string) =>
    path.join(box.root, 'location/archives/_', `${path.basename(archive)}.list`);
  fs.copyFileSync(file(first), file(second));
  await expect(fetchFrom(box, location, path.basename(second))).rejects.toThrow(/list of another archive/);
});

test('a manifest of another archive is not taken', async () => {
  fill(1, 3);
  const first = await backUp();
  box.write('f0/0', 'changed');
  const second = await backUp();
  for (const archive of [first, second]) await copyTo(location, archive);
  const lists = [first, second].map((archive) =>
    path.join(box.root, 'location/archives/_', `${path.basename(archive)}.list`),
  );
  const manifestOf = (list: string) => list.split('\n').filter((line) => line.startsWith('# manifest '));
  const [old, next] = lists.map((file) => fs.readFileSync(file, 'utf8')) as [string, string];
  const packs = old.split('\n').filter((line) => line.startsWith('# pack w'));
  fs.writeFileSync(
    lists[1]!,
    next.replace(manifestOf(next).join('\n'), [...packs, ...manifestOf(old)].join('\n')),
  );
  const verdicts = await Array.fromAsync(
    verifyCopies(await listedArchives(location, ''), { location, deep: true }),
  );
  expect(verdicts.map(({ archive, sound }) => [archive, sound])).toEqual([
    [path.basename(second), false],
    [path.basename(first), true],
  ]);
  await expect(fetchFrom(box, location, path.basename(second))).rejects.toThrow(/belongs to another archive/);
});

test('another location at the same address is refused', async () => {
  fill(1, 1);
  await copyTo(location, await backUp());
  await expect(openLocation(location, 'another')).rejects.toMatchObject({ reason: 'LocationUnsuitable' });
  fs.rmSync(path.join(box.root, 'location/km-location.json'));
  await expect(copyTo(location, await backUp())).rejects.toThrow(/holds copies/);
});
