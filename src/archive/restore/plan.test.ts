import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ByteString, compareWalkOrder } from '../format/byte-string.ts';
import type { Entry } from '../format/entry.ts';
import { differences, isUnchanged, settledBefore } from './compare-entry.ts';
import { ForeseenLosses } from './foreseen-losses.ts';
import type { LiveEntry } from './live-tree.ts';
import { mergeWalk, OutOfOrder } from './merge-walk.ts';
import { PlanBuilder } from './plan.ts';

const path = (text: string) => text as ByteString;

const entry = (name: string, more: Partial<Entry> = {}): Entry => ({
  path: path(name),
  type: 'file',
  mode: 0o644,
  uid: 1,
  gid: 1,
  size: 10,
  mtime: '1000',
  ctime: '2000',
  ino: '7',
  ...more,
});

interface Fake extends Partial<Omit<LiveEntry, 'link' | 'xattrs'>> {
  text?: string;
  attributes?: Record<string, string>;
  sameAs?: string;
}

const live = (name: string, { text, attributes, sameAs, ...more }: Fake = {}): LiveEntry => ({
  path: path(name),
  type: 'file',
  mode: 0o644,
  uid: 1,
  gid: 1,
  size: 10,
  mtime: '1000',
  ctime: '2000',
  ino: '7',
  link: () => path(text ?? ''),
  xattrs: () => attributes ?? {},
  isSameFile: (other) => other === sameAs,
  ...more,
});

const directory = { type: 'directory', size: 0 } as const;
const settled = settledBefore('1970-01-01T00:01:00Z');

describe('what an entry has otherwise', () => {
  it.each<[string, Partial<Entry>, Fake, string[]]>([
    ['nothing', {}, {}, []],
    ['another inode and ctime alone', {}, { ino: '8', ctime: '9' }, []],
    ['size', {}, { size: 11 }, ['size is 11, not 10']],
    ['mode', {}, { mode: 0o600 }, ['mode is 0600, not 0644']],
    ['owner and group', {}, { uid: 2, gid: 3 }, ['owner is 2:3, not 1:1']],
    ['mtime', {}, { mtime: '1001' }, ['modification time is 1001, not 1000']],
    ['type', {}, directory, ['is a directory, not a file']],
    ['the size of a directory', directory, { ...directory, size: 4096 }, []],
    [
      'the mode of a symlink',
      { type: 'symlink', link: path('a') },
      { type: 'symlink', text: 'a', mode: 1 },
      [],
    ],
    [
      'the text of a symlink',
      { type: 'symlink', link: path('a') },
      { type: 'symlink', text: 'b' },
      ['link text is b, not a'],
    ],
    ['a hard link', { type: 'hardlink', link: path('a') }, { sameAs: 'a', mode: 0, size: 3 }, []],
    ['a file of its own', { type: 'hardlink', link: path('a') }, {}, ["is no hard link to 'a'"]],
    [
      'attributes',
      { xattrs: { 'user.a': 'QQ==', 'user.b': 'QQ==' } },
      { attributes: { 'user.b': 'Qg==', 'user.c': 'QQ==' } },
      [
        'extended attribute user.a is missing',
        'extended attribute user.b has another value',
        'extended attribute user.c is new',
      ],
    ],
  ])('%s', (_, recorded, actual, expected) => {
    const found = differences(entry('f', recorded), live('f', actual));
    expect(found.map(({ message }) => message)).toEqual(expected);
  });

  it.each<[boolean, string, Partial<Entry>, Fake]>([
    [true, 'nothing changed', {}, {}],
    [false, 'size', {}, { size: 1 }],
    [false, 'mtime', {}, { mtime: '1' }],
    [false, 'ctime', {}, { ctime: '1' }],
    [false, 'inode', {}, { ino: '1' }],
    [false, 'it changed while it was read', { inconsistent: true }, {}],
    [false, 'it changed just before the backup', { ctime: '59000000000' }, { ctime: '59000000000' }],
    [false, 'it is a directory', directory, directory],
  ])('is the very file that was archived: %s (%s)', (expected, _, recorded, actual) => {
    expect(isUnchanged(entry('f', recorded), live('f', actual), settled)).toBe(expected);
  });
});

async function planOf(recorded: Entry[], actual: LiveEntry[], preserved: string[] = [], archiveDigest = 'a') {
  const builder = new PlanBuilder({ archiveDigest, settled, preserved: new Set(preserved.map(path)) });
  await mergeWalk([recorded], actual.values(), builder.add);
  return builder.finish();
}

describe('a plan', () => {
  const root = entry('', directory);
  const liveRoot = live('', directory);

  it.each<[string, Entry[], LiveEntry[], string[], number, number]>([
    ['an empty target', [root, entry('a'), entry('b')], [], ['+ ./', '+ a', '+ b'], 0, 20],
    ['the same tree', [root, entry('a')], [liveRoot, live('a')], [], 2, 0],
    ['a copy of the tree', [root, entry('a')], [liveRoot, live('a', { ino: '9' })], [], 2, 10],
    ['a changed file', [root, entry('a')], [liveRoot, live('a', { mtime: '5' })], ['~ a'], 1, 10],
    [
      'a directory in place of a file',
      [root, entry('a')],
      [liveRoot, live('a', directory), live('a/b')],
      ['~ a', '- a/b'],
      1,
      10,
    ],
    [
      'a file in place of a directory',
      [root, entry('a', directory), entry('a/b')],
      [liveRoot, live('a')],
      ['+ a/b', '~ a'],
      1,
      10,
    ],
    [
      'new files',
      [root],
      [liveRoot, live('a'), live('d', directory), live('d/x'), live('s', { type: 'socket' })],
      ['- a', '- d/x', '- d', '- s'],
      1,
      0,
    ],
    [
      'a directory that the archive does not list',
      [entry('d/e/f')],
      [liveRoot, live('d', directory), live('d/e', directory), live('d/e/f'), live('d/g')],
      ['- d/g'],
      1,
      0,
    ],
    [
      'sparse data',
      [
        entry('a', {
          size: 1000,
          extents: [
            [0, 5],
            [10, 7],
          ],
        }),
      ],
      [],
      ['+ a'],
      0,
      12,
    ],
  ])('of %s', async (_, recorded, actual, samples, kept, bytesToWrite) => {
    const plan = await planOf(recorded, actual);
    const count = (kind: string) => samples.filter((sample) => sample.startsWith(kind)).length;
    const counts = { added: count('+'), changed: count('~'), removed: count('-') };
    expect({ ...plan, samples: [...plan.samples].sort() }).toMatchObject({
      ...counts,
      samples: samples.toSorted(),
      kept,
      bytesToWrite,
    });
  });

  it('removes no archive that is preserved, nor its directory', async () => {
    const actual = [liveRoot, live('b', directory), live('b/x'), live('b/y')];
    expect(await planOf([root], actual, ['b', 'b/x'])).toMatchObject({ removed: 1, samples: ['- b/y'] });
  });

  it('has another digest whenever something differs', async () => {
    const trees = [[], [live('a')], [live('a', { mtime: '5' })], [live('b')], [live('a'), live('b')]];
    const digests = await Promise.all(trees.map(async (tree) => (await planOf([entry('a')], tree)).digest));
    digests.push((await planOf([entry('a')], [], [], 'another archive')).digest);
    expect(new Set(digests).size).toBe(digests.length);
  });

  it('bounds its samples', async () => {
    const many = Array.from({ length: 30 }, (_, i) => live(String(i).padStart(2, '0').repeat(300)));
    const { samples, removed } = await planOf([], many);
    expect(removed).toBe(30);
    expect(samples).toHaveLength(7);
    expect(Math.max(...samples.map(({ length }) => length))).toBeLessThan(300);
  });
});

describe('the merge of two lists', () => {
  const paths = fc.uniqueArray(fc.string({ unit: fc.constantFrom('a', 'b', '/', '-'), maxLength: 4 }), {
    maxLength: 12,
  });

  it('visits each path once, in order', async () => {
    const sorted = (names: string[]) => names.map(path).sort(compareWalkOrder);
    await fc.assert(
      fc.asyncProperty(paths, paths, async (left, right) => {
        const visited: [string | undefined, string | undefined][] = [];
        const batches = sorted(left).map((name) => [{ path: name }]);
        const actual = sorted(right).map((name) => ({ path: name }));
        await mergeWalk(batches, actual.values(), (a, b) => visited.push([a?.path, b?.path]));
        const all = sorted([...new Set([...left, ...right])]);
        expect(visited).toEqual(
          all.map((name) => [
            left.includes(name) ? name : undefined,
            right.includes(name) ? name : undefined,
          ]),
        );
      }),
    );
  });

  it.each([[['b', 'a']], [['a', 'a']], [['a-b', 'a/b']]])(
    'refuses %j, which is not in order',
    async (names) => {
      const merged = mergeWalk([names.map((name) => ({ path: path(name) }))], [].values(), () => {});
      await expect(merged).rejects.toThrow(OutOfOrder);
    },
  );
});

describe('losses that can be foreseen', () => {
  const root = { setsOwners: true, setsCapabilities: true, setsSystemXattrs: true, uid: 0, gid: 0 };
  const nobody = { setsOwners: false, setsCapabilities: false, setsSystemXattrs: false, uid: 1, gid: 1 };
  const container = { ...root, setsSystemXattrs: false };
  const entries = [
    ...['a', 'b', 'c', 'd'].map((name) => entry(name, { uid: 5 })),
    entry('mine', { xattrs: { 'user.x': '' } }),
    entry('group', { gid: 9 }),
    entry('link', { type: 'hardlink', link: path('a'), uid: 5 }),
    entry('ping', { xattrs: { 'security.capability': '' } }),
    entry('labelled', { xattrs: { 'security.SMACK64': '', 'trusted.overlay.opaque': '' } }),
  ];

  it.each([
    ['root', root, []],
    [
      'root of a container, with SETFCAP',
      container,
      [
        '1 entry will lose extended attributes that this process may not set (security.*, trusted.*): labelled',
      ],
    ],
    [
      'root of a container, without it',
      { ...container, setsCapabilities: false },
      [
        '2 entries will lose extended attributes that this process may not set (security.*, trusted.*): ping, labelled',
      ],
    ],
    [
      'another user',
      nobody,
      [
        '5 entries will belong to 1:1 instead of their recorded owners, because this process may not set owners: a, b, c, …',
        '2 entries will lose extended attributes that this process may not set (security.*, trusted.*): ping, labelled',
      ],
    ],
  ])('by %s', (_, restorer, expected) => {
    const losses = new ForeseenLosses(restorer);
    for (const one of entries) losses.add(one);
    expect(losses.lines).toEqual(expected);
  });
});
