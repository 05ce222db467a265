import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ByteString, compareWalkOrder, fromText } from '../format/byte-string.ts';
import type { Entry } from '../format/entry.ts';
import { compareEntries, type Recorded } from './compare.ts';
import { type Difference, type DiffTotals, diffArchives } from './diff.ts';
import { historyOf, type Version } from './history.ts';
import { digest, file, type Unit, writeArchive } from './testing/write-archive.ts';

let root: string;
beforeAll(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'km-diff-'));
});
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));

const at = (name: string) => path.join(root, `km-backup-${name}.tgz`);
const ROOT = file('', { type: 'directory', size: 0 });

async function diff(
  before: string,
  after: string,
  more: object = {},
): Promise<{ found: Difference[]; totals: DiffTotals }> {
  const differences = diffArchives({ before, after, ...more });
  const found: Difference[] = [];
  for (;;) {
    const next = await differences.next();
    if (next.done) return { found, totals: next.value };
    found.push(...next.value);
  }
}

async function history(archives: readonly string[], name: string): Promise<Version[]> {
  const versions: Version[] = [];
  const opened = (archive: string) => ({ path: archive, [Symbol.dispose]: () => {} });
  const list = archives.map((archive) => ({
    name: path.basename(archive),
    open: async () => opened(archive),
  }));
  for await (const version of historyOf({ archives: list, path: name })) versions.push(version);
  return versions;
}

const names = ['a', 'b', 'a-b', 'a.b', 'é', '\\"', '\n', 'z'];
/** A path of one to three names; a ByteString as in manifests. */
const paths = fc
  .array(fc.constantFrom(...names), { minLength: 1, maxLength: 3 })
  .map((parts) => fromText(parts.join('/')));
/** A name that is not UTF-8. */
const bytes = fc.constantFrom('\xff', 'a/\xfe') as fc.Arbitrary<ByteString>;

const entries = fc.record({
  path: fc.oneof({ weight: 9, arbitrary: paths }, { weight: 1, arbitrary: bytes }),
  content: fc.integer({ min: 0, max: 2 }),
  mode: fc.constantFrom(0o644, 0o600),
  ino: fc.constantFrom('7', '8'),
  /** More than one slice makes a large file. */
  slices: fc.constantFrom(0, 0, 0, 1, 3),
  /** Whether it outgrew its group, so that it stands before it. */
  outgrew: fc.boolean(),
  endsGroup: fc.boolean(),
});
type Made = typeof entries extends fc.Arbitrary<infer T> ? T : never;
const trees = fc.uniqueArray(entries, { selector: ({ path: one }) => one, maxLength: 30 });

function recorded({ path: name, content, mode, ino, slices }: Made): Recorded & { unit: Unit } {
  const entry = file(name, { mode, ino, sha256: digest(content), size: slices });
  if (slices === 0) return { entry, unit: [entry] };
  const { sha256: _, ...large } = entry;
  const parts = Array.from({ length: slices }, (_part, index) => digest(index === 0 ? content : 9));
  return { entry: large, parts: parts.join(), unit: { large, parts } };
}

/** The units of a tree, as packing orders them. */
function unitsOf(tree: readonly Made[]): Unit[] {
  const units: Unit[] = [];
  let group: Entry[] = [ROOT];
  let outgrown: Unit[] = [];
  const end = () => {
    units.push(...outgrown, ...(group.length > 0 ? [group] : []));
    group = [];
    outgrown = [];
  };
  for (const made of [...tree].sort((a, b) => compareWalkOrder(a.path, b.path))) {
    const { entry, unit } = recorded(made);
    if (made.slices === 0) group.push(entry);
    else if (made.outgrew && group.length > 0) outgrown.push(unit);
    else {
      end();
      units.push(unit);
    }
    if (made.endsGroup && made.slices === 0) end();
  }
  end();
  return units;
}

/** What diff must find, by holding both trees in memory. */
function expected(before: readonly Made[], after: readonly Made[]): [string, string][] {
  const [a, b] = [before, after].map((tree) => new Map(tree.map((made) => [made.path, recorded(made)])));
  return [...new Set([...a!.keys(), ...b!.keys()])].sort(compareWalkOrder).flatMap((name) => {
    const [one, other] = [a!.get(name), b!.get(name)];
    if (!one) return [['added', name]];
    if (!other) return [['removed', name]];
    const comparison = compareEntries(one, other, false);
    return comparison ? [[comparison.change, name]] : [];
  }) as [string, string][];
}

/** Where an empty frame is, if there is one. */
const empty = fc.integer({ min: -3, max: 9 });

test('diff finds what a comparison in memory finds, and history agrees with it', async () => {
  await fc.assert(
    fc.asyncProperty(
      trees,
      trees,
      fc.integer({ min: 1, max: 5 }),
      empty,
      async (one, other, perFrame, gap) => {
        // Most of it stays the same.
        const after = [...other.slice(0, 4), ...one.slice(3)].filter(
          (made, index, all) => all.findIndex(({ path: name }) => name === made.path) === index,
        );
        const [a, b] = [at('1'), at('2')];
        writeArchive(a, unitsOf(one), perFrame);
        writeArchive(b, unitsOf(after), perFrame + 1, gap);
        const wanted = expected(one, after);
        const { found, totals } = await diff(a, b);
        expect(found.map(({ change, path: name }) => [change, name])).toEqual(wanted);
        const changes = ['removed', 'changed', 'metadata'] as const;
        const differing = changes.reduce((sum, change) => sum + totals[change].entries, 0);
        expect(totals.unchanged).toBe(one.length + 1 - differing);
        for (const { path: name } of [...one, ...after].filter(
          ({ path: each }) => !/[\xfe\xff]/.test(each),
        )) {
          const change = wanted.find(([, each]) => each === name)?.[0] ?? 'same';
          const versions = await history([a, b], Buffer.from(name, 'latin1').toString());
          expect(versions.at(-1)!.change, name).toBe(change);
        }
      },
    ),
    { numRuns: 60 },
  );
});

test('the same archive has no differences; every entry is counted', async () => {
  const archive = writeArchive(at('same'), [[ROOT, file('a')], [file('b')]]);
  const { found, totals } = await diff(archive, archive);
  expect([found, totals.unchanged]).toEqual([[], 3]);
});

test('patterns choose names, and a folder brings what is below it', async () => {
  const a = writeArchive(at('p1'), [[ROOT]]);
  const units = ['docs', 'docs/a.md', 'docs/b.txt', 'src', 'src/a.md'].map((name) =>
    file(name, name.includes('.') ? {} : { type: 'directory', size: 0 }),
  );
  const b = writeArchive(at('p2'), [[ROOT, ...units]]);
  const chosen = async (more: object) => (await diff(a, b, more)).found.map(({ path: name }) => name);
  expect(await chosen({ include: ['docs/'] })).toEqual(['docs', 'docs/a.md', 'docs/b.txt']);
  expect(await chosen({ include: ['*.md'], exclude: ['/src'] })).toEqual(['docs/a.md']);
  expect((await diff(a, b, { include: ['*.md'] })).totals).toMatchObject({
    unchanged: undefined,
    added: { entries: 2, files: 2, bytesBefore: 0, bytesAfter: 2 },
  });
});

test('entries out of order, a cut frame and a forged member line are damage, said in words', async () => {
  const good = writeArchive(at('good'), [[ROOT, file('z')]]);
  const wrong = writeArchive(at('wrong'), [[ROOT, file('c'), file('b')]]);
  await expect(diff(good, wrong)).rejects.toThrow(/out of order/);
  const manifest = fs.readFileSync(`${good}.manifest`);
  manifest[20]! ^= 0xff;
  fs.writeFileSync(`${at('bad')}.manifest`, manifest);
  fs.copyFileSync(good, at('bad'));
  await expect(diff(good, at('bad'))).rejects.toMatchObject({ reason: 'ManifestInvalid' });
  expect(await history([good, at('bad'), good], 'z')).toMatchObject([
    { change: 'oldest' },
    { change: 'unreadable', problem: expect.stringContaining('not a valid manifest') as string },
    { change: 'same' },
  ]);
});

test('more large files in a row than a group can have entries stay in order', async () => {
  const large = Array.from({ length: 2500 }, (_, index): Unit => {
    const { sha256: _sha, ...entry } = file(`f${String(index).padStart(5, '0')}`);
    return { large: entry, parts: [digest(index)] };
  });
  const a = writeArchive(at('l1'), [[ROOT], ...large], 100);
  const b = writeArchive(at('l2'), [[ROOT], ...large.slice(0, 1200), ...large.slice(1201)], 70);
  const { found } = await diff(a, b);
  expect(found).toMatchObject([{ change: 'removed', path: 'f01200' }]);
  expect(await history([a, b], 'f02499')).toMatchObject([{ change: 'oldest' }, { change: 'same' }]);
});

test('history shows the file that a hard link leads to', async () => {
  const link = file('b', { type: 'hardlink', link: 'a' as ByteString, size: 0 });
  const a = writeArchive(at('h1'), [[ROOT, file('a', { size: 42 }), link]]);
  const b = writeArchive(at('h2'), [[ROOT, file('b', { size: 42 })]]);
  const c = writeArchive(at('h3'), [[ROOT]]);
  expect(await history([a, b, c, c], './b')).toMatchObject([
    { change: 'oldest', entry: { path: 'b', type: 'file', size: 42 }, digest: digest(0) },
    { change: 'same' },
    { change: 'removed' },
    { change: 'absent' },
  ]);
});

test('a signal ends both', async () => {
  const archive = writeArchive(at('s'), [[ROOT]]);
  const signal = AbortSignal.abort(new Error('stopped'));
  await expect(diff(archive, archive, { signal })).rejects.toThrow('stopped');
});
