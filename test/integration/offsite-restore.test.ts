/** Restores straight from a location, as the Jobs of a KmRestore make them: found, planned, staged, swapped in. */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { RestoreResult } from '../../src/api/restore-result.ts';
import { restore as kmRestore, membersNeeded, membersOfPaths } from '../../src/archive/index.ts';
import { fetchMembers, type Location, locationAt, readList } from '../../src/offsite/index.ts';
import { Sandbox } from '../support/backup.ts';
import { copyTo, sha256 } from '../support/copies.ts';
import { type Ended, expectWords, kmBackup } from '../support/km-backup.ts';
import { describeTree } from '../support/tree.ts';

const SERIES = 'shop/nightly';

let box: Sandbox;
let place: string;
let url: string;
let key: string;
let target: string;
let resultFile: string;
/** The archives, oldest first. */
let archives: string[];

const at = (...names: string[]) => path.join(box.root, ...names);
const km = (...args: string[]): Promise<Ended> => kmBackup(args, { cwd: box.root });
const restore = (...args: string[]): Promise<Ended> =>
  km('restore', '--identity', key, '--result-file', resultFile, ...args);
const find = (...args: string[]) => restore('--find', url, ...args);
const result = () => RestoreResult.parse(JSON.parse(fs.readFileSync(resultFile, 'utf8')));
/** Paths of the packs that hold members of files; those of manifests are left out. */
function packFiles(): string[] {
  const lists = fs.globSync('archives/**/*.list', { cwd: place }).map((list) => path.join(place, list));
  const named = lists.flatMap((list) => fs.readFileSync(list, 'utf8').split('\n'));
  const packs = new Set(named.filter((line) => /^[^#]/.test(line)).map((line) => line.split(' ', 1)[0]!));
  return fs
    .globSync('packs/**/*.pack*', { cwd: place })
    .filter((pack) => packs.has(path.basename(pack)))
    .map((pack) => path.join(place, pack))
    .sort();
}

/** Runs without these packs, which must not be needed. */
async function without<T>(packs: readonly string[], run: () => Promise<T>): Promise<T> {
  for (const pack of packs) fs.renameSync(pack, `${pack}.away`);
  try {
    return await run();
  } finally {
    for (const pack of packs) fs.renameSync(`${pack}.away`, pack);
  }
}
const withoutPacks = <T>(run: () => Promise<T>): Promise<T> => without(packFiles(), run);

async function keygen(name: string): Promise<string> {
  return (await km('location', 'keygen', '-o', at(name))).stdout.trim();
}

beforeAll(async () => {
  box = new Sandbox();
  place = at('location');
  url = `dir:${place}`;
  key = at('key.txt');
  target = at('target');
  resultFile = at('result.json');
  const recipient = await keygen('key.txt');
  for (let file = 0; file < 40; file++) box.write(`data/${file}`, randomBytes(30_000));
  box.write('notes/today', 'first');
  await km('location', 'init', url);
  const copy = (...more: string[]) =>
    km('copy', url, '--destination', box.destination, '--recipient', recipient, ...more);
  for (const [index, text] of ['first', 'second'].entries()) {
    box.write('notes/today', text);
    box.clockAheadMs = 3_000 * (index + 1);
    await box.back({ series: SERIES });
    expect(await copy()).toMatchObject({ code: 0 });
  }
  archives = box.names().filter((name) => /^km-backup.*\.tgz$/.test(name));
  expect(archives).toHaveLength(2);
});
afterAll(() => box[Symbol.dispose]());

beforeEach(() => {
  for (const name of ['target', '.km-restore-target', 'result.json'])
    fs.rmSync(at(name), { recursive: true, force: true });
  fs.mkdirSync(path.join(target, 'notes'), { recursive: true });
  fs.writeFileSync(path.join(target, 'notes/today'), 'live');
});
const live = () => fs.readFileSync(path.join(target, 'notes/today'), 'utf8');

const startOf = (archive: string): Date => {
  const [, date, time] = /(\d{8})T(\d{6})Z/.exec(archive)!;
  return new Date(
    `${date!.replace(/(....)(..)(..)/, '$1-$2-$3')}T${time!.replace(/(..)(..)(..)/, '$1:$2:$3')}Z`,
  );
};

describe('--find', () => {
  test('names the newest complete copy with what pins it, and who owns its files', async () => {
    expect(await find('--series', SERIES)).toMatchObject({ code: 0 });
    const file = path.join(box.destination, archives[1]!);
    expect(result()).toMatchObject({
      command: 'find',
      outcome: 'Succeeded',
      reason: 'CopyFound',
      found: {
        archive: archives[1],
        series: SERIES,
        sha256: sha256(file),
        manifestSha256: sha256(`${file}.manifest`),
        sizeBytes: fs.statSync(file).size,
        owner: { uid: process.getuid!(), gid: process.getgid!() },
      },
    });
    expect(live()).toBe('live');
  });

  test('chooses by name and by time', async () => {
    const [first = '', second = ''] = archives;
    await find('--archive', first);
    expect(result().found?.archive).toBe(first);
    await find('--as-of', new Date(startOf(second).getTime() - 1).toISOString());
    expect(result().found?.archive).toBe(first);
    await find('--as-of', '2999-01-01');
    expect(result().found?.archive).toBe(second);
  });

  const refusals: [string, () => string[], string, string][] = [
    ['a time before the first archive', () => ['--as-of', '2001-01-01'], 'CopyMissing', 'The oldest is of 2'],
    ['another series', () => ['--series', 'shop/weekly'], 'CopyMissing', `It has the series ${SERIES}.`],
    ['another archive', () => ['--archive', 'km-backup-x.tgz'], 'CopyMissing', 'no copy of km-backup-x.tgz'],
    ['a time that is none', () => ['--as-of', 'yesterday'], '', 'a time is needed'],
    ['a name and a time', () => ['--archive', 'a', '--as-of', '2026-01-01'], '', 'cannot be used with'],
    ['a target', () => [target], 'Usage', 'the location alone'],
  ];
  test.each(refusals)('refuses %s, and says what there is', async (_, args, reason, words) => {
    const ended = await find(...args());
    expectWords(ended);
    expect(ended.code).not.toBe(0);
    expect(ended.stderr).toContain(words);
    if (reason !== '') expect(result()).toMatchObject({ outcome: 'Failed', reason });
  });

  test('refuses an identity that does not fit, and none', async () => {
    await keygen('other.txt');
    const other = await km(
      'restore',
      '--find',
      url,
      '--identity',
      at('other.txt'),
      '--result-file',
      resultFile,
    );
    expectWords(other);
    expect(result()).toMatchObject({ reason: 'IdentityMismatch' });
    expectWords(await km('restore', '--find', url, '--result-file', resultFile));
    expect(result()).toMatchObject({ reason: 'IdentityMismatch' });
    // One of several fits.
    expect(await find('--identity', at('other.txt'))).toMatchObject({ code: 0 });
  });

  test('names a pack that is lost or cut', async () => {
    const [pack = ''] = packFiles();
    const bytes = fs.readFileSync(pack);
    fs.rmSync(pack);
    const lost = await find();
    expectWords(lost);
    expect([lost.code, result().reason]).toEqual([5, 'PackMissing']);
    expect(lost.stderr).toContain(path.basename(pack));
    fs.writeFileSync(pack, bytes.subarray(0, -1));
    expect((await find()).stderr).toMatch(/has \d+ bytes, not/);
    fs.writeFileSync(pack, bytes);
  });

  test('refuses an empty location, and one that is none', async () => {
    await km('location', 'init', `dir:${at('empty')}`);
    expect((await restore('--find', `dir:${at('empty')}`)).stderr).toContain('has no copy.');
    expect((await restore('--find', `dir:${at('nowhere')}`)).code).not.toBe(0);
    expect(result()).toMatchObject({ reason: 'LocationUnsuitable' });
  });

  test('gives up on a server that does not answer, after the stated time', async () => {
    const env = {
      AWS_ENDPOINT_URL_S3: 'http://127.0.0.1:9',
      AWS_ACCESS_KEY_ID: 'a',
      AWS_SECRET_ACCESS_KEY: 'b',
    };
    const args = ['restore', '--find', 's3://backups/a', '--retry-seconds', '1', '--result-file', resultFile];
    expectWords(await kmBackup(args, { env }));
    expect(result()).toMatchObject({ command: 'find', reason: 'LocationUnavailable' });
    expect(result().message).toContain('127.0.0.1:9');
  });

  test('prefers the newest complete archive to a newer one that left files out', async () => {
    const list = fs.globSync(`archives/**/${archives[1]}.list`, { cwd: place })[0]!;
    const file = path.join(place, list);
    const text = fs.readFileSync(file, 'utf8');
    fs.writeFileSync(file, text.replace('# isComplete true', '# isComplete false'));
    await find();
    expect(result().found?.archive).toBe(archives[0]);
    await find('--archive', archives[1]!);
    expect(result().found?.archive).toBe(archives[1]);
    fs.writeFileSync(file, text);
  });
});

describe('the Jobs of one request', () => {
  const pinned = async () => {
    await find('--archive', archives[1]!);
    const { manifestSha256 } = result().found!;
    return ['--archive', archives[1]!, '--series', SERIES, '--expect-manifest', manifestSha256];
  };

  test('the plan needs no pack, and has the digest of the same plan of the local archive', async () => {
    const wanted = await pinned();
    await withoutPacks(async () =>
      expect(await restore('--plan', ...wanted, url, target)).toMatchObject({ code: 0 }),
    );
    const { digest, samples } = result().plan!;
    await restore('--plan', path.join(box.destination, archives[1]!), target);
    expect(result().plan).toMatchObject({ digest, samples });
    expect(live()).toBe('live');
  });

  test('staged from the location, swapped in without it, rolled back', async () => {
    const wanted = await pinned();
    const request = ['--id', 'request-1'];
    expect(await restore('--stage-only', ...request, ...wanted, url, target)).toMatchObject({ code: 0 });
    expect([result().reason, live()]).toEqual(['TreeStaged', 'live']);
    await withoutPacks(async () => {
      // The Job that stages may run twice.
      expect(await restore('--stage-only', ...request, ...wanted, url, target)).toMatchObject({ code: 0 });
      expect(await restore(...request, ...wanted, url, target)).toMatchObject({ code: 0 });
      expect(live()).toBe('second');
      expect(describeTree(target)).toEqual(describeTree(box.source));
      await restore(...request, ...wanted, url, target);
      expect(result().reason).toBe('AlreadyRestored');
      expect((await km('restore', '--status', target)).stdout).toContain(url);
    });
    expect(await km('restore', '--rollback', target)).toMatchObject({ code: 0 });
    expect(live()).toBe('live');
  });

  test('a copy with another digest is refused before anything is staged', async () => {
    const [archive = ''] = archives;
    for (const pin of ['--expect-manifest', '--expect-sha256']) {
      const ended = await restore('--archive', archive, pin, 'a'.repeat(64), url, target);
      expectWords(ended);
      expect([pin, result().reason, live()]).toEqual([pin, 'ArchiveReplaced', 'live']);
    }
    expect(fs.readdirSync(target)).toEqual(['notes']);
  });

  test('a pack that was altered is named, and nothing is swapped', async () => {
    const [pack = ''] = packFiles();
    const bytes = fs.readFileSync(pack);
    const altered = Buffer.from(bytes);
    altered[altered.length - 100]! ^= 1;
    fs.writeFileSync(pack, altered);
    const ended = await restore(...(await pinned()), url, target);
    fs.writeFileSync(pack, bytes);
    expectWords(ended);
    expect([ended.code, result().reason, live()]).toEqual([5, 'ArchiveCorrupt', 'live']);
    expect(ended.stderr).toContain(path.basename(pack));
  });

  test('single files fetch only the packs that hold them', async () => {
    const wanted = await pinned();
    // The second copy stored one pack: what had changed.
    const times = packFiles().map((pack) => ({ pack, size: fs.statSync(pack).size }));
    const small = times.reduce((a, b) => (a.size < b.size ? a : b)).pack;
    const others = packFiles().filter((pack) => pack !== small);
    const ended = await without(others, () => restore('--path', 'notes/today', ...wanted, url, target));
    expect(ended).toMatchObject({ code: 0 });
    expect(live()).toBe('second');
    expect(fs.readdirSync(target)).toEqual(['notes']);
  });

  test('nothing is left in the work directory, whatever the outcome', async () => {
    fs.mkdirSync(at('work'), { recursive: true });
    const work = ['--work-dir', at('work')];
    await restore(...work, url, target);
    await restore(...work, '--expect-manifest', 'b'.repeat(64), url, target);
    expect(fs.readdirSync(at('work'))).toEqual([]);
    const ended = await restore('--work-dir', at('missing'), url, at('elsewhere'));
    expectWords(ended);
    expect(ended.stderr).toContain('--work-dir');
  });
});

describe('in place', () => {
  const FILES = 40;
  let own: Sandbox;
  let location: Location;
  let archive: string;
  const inOwn = (...names: string[]) => path.join(own.root, ...names);
  const restoreInPlace = (...args: string[]) =>
    km('restore', ...args, '--result-file', resultFile, `dir:${inOwn('location')}`, own.source);
  /** The packs of members. */
  async function packsOf(): Promise<string[]> {
    const { runs } = (await readList(location, '', path.basename(archive)))!;
    return [...new Set(runs.map(({ pack }) => path.join('packs/_', pack)))].sort();
  }

  beforeEach(async () => {
    own = new Sandbox();
    for (let file = 0; file < FILES; file++) own.write(`data/${file}`, randomBytes(30_000));
    own.write('large', randomBytes(3_000_000));
    own.clockAheadMs = 5_000;
    archive = (await own.back()).result.archive!.path;
    location = await locationAt(`dir:${inOwn('location')}`, {});
    await copyTo(location, archive, { packBytes: 100_000 });
  });
  afterEach(() => own[Symbol.dispose]());

  const change = () => {
    own.write('data/3', 'changed');
    fs.rmSync(path.join(own.source, 'data/7'));
    own.write('data/new', 'new');
  };

  /** Names of the packs with the members that hold these files. */
  async function packsWith(...files: string[]): Promise<Set<string>> {
    const { members } = await membersOfPaths(archive, files);
    const { runs } = (await readList(location, '', path.basename(archive)))!;
    const packs = new Set<string>();
    let start = 0;
    for (const { pack, length } of runs) {
      if (members.some(({ offset, size }) => offset < start + length && offset + size > start))
        packs.add(pack);
      start += length;
    }
    return packs;
  }

  test.each([[[]], [['--commit']]])(
    'only the packs with files that changed are fetched (%j)',
    async (flags) => {
      const before = describeTree(own.source);
      // Members without files, such as that of the directories, are always fetched.
      const needed = await packsWith('data/3', 'data/7');
      change();
      const away = (await packsOf()).filter((pack) => !needed.has(path.basename(pack)));
      expect(away.length).toBeGreaterThan(1);
      let lost: string[] = [];
      for (const pack of away) fs.renameSync(inOwn('location', pack), inOwn('location', `${pack}.away`));
      for (;;) {
        const ended = await restoreInPlace(...flags);
        const missing = /packs\/\S+\.pack/.exec(ended.stderr)?.[0];
        if (ended.code === 0 || missing === undefined) {
          expect(ended).toMatchObject({ code: 0 });
          break;
        }
        lost = [...lost, missing];
        fs.renameSync(inOwn('location', `${missing}.away`), inOwn('location', missing));
      }
      expect(lost.length).toBeLessThanOrEqual(1);
      expect(describeTree(own.source)).toEqual(before);
    },
  );

  test('a file that changes after the look fails the restore before anything is replaced', async () => {
    change();
    const needed = await packsWith('data/3', 'data/7');
    let others: string[] = [];
    for (let file = 0; file < FILES; file++) {
      const packs = await packsWith(`data/${file}`);
      if (needed.isDisjointFrom(packs)) others = [...others, `data/${file}`];
    }
    let left: ReturnType<typeof describeTree> | undefined;
    const partial = inOwn('partial.tgz');
    const restored = kmRestore({
      archive: 'copy',
      target: own.source,
      policy: { preserveSetid: false, skipDevices: false },
      oldState: 'keep',
      now: () => new Date(),
      fetch: async () => {
        const list = (await readList(location, '', path.basename(archive)))!;
        fs.copyFileSync(`${archive}.manifest`, `${partial}.manifest`);
        fs.writeFileSync(partial, '');
        fs.truncateSync(partial, list.sizeBytes);
        const members = await membersNeeded(partial, {
          target: own.source,
          oldState: 'keep',
          fetch: async () => '',
        });
        fs.rmSync(partial);
        const options = { location, series: '', archive: path.basename(archive), opener: undefined };
        await fetchMembers(options, list, members!, partial);
        own.write(others[0]!, 'changed meanwhile');
        left = describeTree(own.source);
        return partial;
      },
    });
    await expect(restored).rejects.toMatchObject({ reason: 'ArchiveCorrupt' });
    expect(describeTree(own.source)).toEqual(left);
  });

  test('a failure of a part is tried again with the whole archive, which names what is wrong', async () => {
    const needed = await packsWith('data/3');
    change();
    for (const pack of (await packsOf()).filter((one) => needed.has(path.basename(one)))) {
      const file = inOwn('location', pack);
      const bytes = fs.readFileSync(file);
      bytes[bytes.length >> 1]! ^= 1;
      fs.writeFileSync(file, bytes);
    }
    const left = describeTree(own.source);
    const ended = await restoreInPlace();
    expectWords(ended);
    expect([ended.code, result().reason]).toEqual([5, 'ArchiveCorrupt']);
    expect(ended.stderr).toContain('does not have the digest that its list says');
    expect(describeTree(own.source)).toEqual(left);
  });

  test('an empty target gets the whole archive', async () => {
    const target = inOwn('empty');
    fs.mkdirSync(target);
    expect(await km('restore', `dir:${inOwn('location')}`, target)).toMatchObject({ code: 0 });
    expect(describeTree(target)).toEqual(describeTree(own.source));
  });
});
