import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { ArchiveError } from '../../src/archive/errors.ts';
import { programFor } from '../../src/cli/km-backup/commands.ts';
import type { CliContext } from '../../src/cli/km-backup/context.ts';
import { getXattrs } from '../../src/posix/xattr.ts';
import { forgedArchive, hostileTar, OUTSIDE } from '../support/hostile-tar.ts';
import { describeTree } from '../support/tree.ts';

/** How often each property is tried: KM_FUZZ_RUNS=50000 takes most of an hour. */
const RUNS = Number(process.env['KM_FUZZ_RUNS'] ?? 150);

const LIMIT_MS = 240_000 + 200 * RUNS;

let base: string;
const at = (...names: string[]) => path.join(base, ...names);
const archive = () => at('archives/km-backup-20260101T000000Z.tgz');

beforeAll(() => {
  base = fs.mkdtempSync(path.join(os.tmpdir(), 'km-hostile-'));
  for (const name of ['archives', 'outside', 'neighbour']) fs.mkdirSync(at(name));
  fs.mkdirSync(OUTSIDE);
  for (const directory of [at('outside'), OUTSIDE, at('neighbour')]) {
    fs.writeFileSync(path.join(directory, 'canary'), 'canary', { mode: 0o640 });
  }
});
afterAll(() => {
  fs.rmSync(base, { recursive: true, force: true });
  fs.rmSync(OUTSIDE, { recursive: true, force: true });
});

/** What is printed meanwhile goes nowhere. */
beforeEach(() => {
  for (const stream of [process.stdout, process.stderr]) {
    vi.spyOn(stream, 'write').mockReturnValue(true);
  }
  return () => {
    vi.restoreAllMocks();
  };
});

type Outcome = 'done' | 'unsound' | 'refused';

/** As the command line does, but for an error that is no refusal: that one is thrown. */
async function km(...argv: string[]): Promise<Outcome> {
  const context: CliContext = { env: {}, signal: new AbortController().signal, exitCode: 0 };
  try {
    const program = await programFor(argv, context);
    await program.parseAsync(argv, { from: 'user' });
    return context.exitCode === 0 ? 'done' : 'unsound';
  } catch (error) {
    if (!(error instanceof ArchiveError) || error.reason === 'Internal') throw error;
    expect([1, 5, 7]).toContain(error.exitCode);
    return 'refused';
  }
}

/** All but the target, and but for the times of the directory that it lies in. */
const surroundings = () => ({
  base: describeTree(base, (name) => name === 'target' || name.startsWith('target/') || name === 'archives'),
  outside: describeTree(OUTSIDE),
  links: [at('outside'), OUTSIDE, at('neighbour')].map((d) => fs.statSync(path.join(d, 'canary')).nlink),
});

function settled({ base: tree, ...rest }: ReturnType<typeof surroundings>): unknown {
  const { '': _, ...below } = tree;
  return { ...rest, below };
}

/** That a restored tree gives no rights that nobody asked for. Returns what is in it, but for contents: a hole may be huge. */
function expectHarmless(tree: string): string[] {
  const found: string[] = [];
  const visit = (place: Buffer) => {
    const stats = fs.lstatSync(place);
    found.push(`${place.toString('latin1')} ${stats.mode} ${stats.size} ${stats.mtimeMs}`);
    expect(stats.isBlockDevice() || stats.isCharacterDevice()).toBe(false);
    if (stats.isFile()) {
      expect(stats.mode & 0o6000).toBe(0);
      expect([...getXattrs(place).keys()]).not.toContain('security.capability');
    }
    if (!stats.isDirectory()) return;
    for (const name of fs.readdirSync(place, { encoding: 'buffer' }))
      visit(Buffer.concat([place, Buffer.from('/'), name]));
  };
  visit(Buffer.from(tree));
  return found;
}

const flags = fc.record({
  manifest: fc.constantFrom([], [], ['--ignore-manifest']),
  devices: fc.constantFrom([], ['--skip-devices']),
});

async function expectSafe(
  forged: { archive: Buffer; manifest?: Buffer },
  { manifest, devices }: { manifest: readonly string[]; devices: readonly string[] },
): Promise<Outcome[]> {
  for (const name of ['target', 'out', '.km-restore-target'])
    fs.rmSync(at(name), { recursive: true, force: true });
  fs.mkdirSync(at('target'));
  fs.writeFileSync(at('target/live'), 'live');
  fs.symlinkSync('../outside', at('target/link'));
  fs.writeFileSync(archive(), forged.archive);
  fs.rmSync(`${archive()}.manifest`, { force: true });
  if (forged.manifest) fs.writeFileSync(`${archive()}.manifest`, forged.manifest);
  const live = describeTree(at('target'));
  const before = settled(surroundings());
  const restored = await km(
    ...['restore', '--commit', '--ignore-writers', '--progress=none', ...manifest, ...devices],
    archive(),
    at('target'),
  );
  expect(settled(surroundings())).toEqual(before);
  if (restored !== 'done') expect(describeTree(at('target'))).toEqual(live);

  const target = expectHarmless(at('target'));
  const verified = await km('verify', '--progress=none', archive());
  const deep = await km('verify', '--deep', '--progress=none', archive());
  const listed = await km('ls', archive());
  await km('ls', '--json', archive());
  expect(settled(surroundings())).toEqual(before);
  fs.mkdirSync(at('out'));
  const extracted = await km('extract', '--progress=none', '-C', at('out'), archive(), '.');
  expectHarmless(at('out'));
  fs.rmSync(at('out'), { recursive: true });
  expect(settled(surroundings())).toEqual(before);
  expect(expectHarmless(at('target'))).toEqual(target);
  // Lets timers and signals in.
  await setImmediate();
  return [restored, verified, deep, listed, extracted];
}

test.each([
  [
    'headers, names and members of any kind, without a manifest',
    hostileTar.map((tar) => ({ archive: tar })),
    RUNS,
  ],
  ['a manifest forged to agree with what it lists', forgedArchive, Math.ceil(RUNS / 2)],
])(
  '%s: refused, or restored without harm',
  async (_, forged, runs) => {
    const outcomes = new Map<string, number>();
    await fc.assert(
      fc.asyncProperty(
        forged as fc.Arbitrary<{ archive: Buffer; manifest?: Buffer }>,
        flags,
        async (given, options) => {
          const [restored] = await expectSafe(given, options);
          outcomes.set(restored!, (outcomes.get(restored!) ?? 0) + 1);
        },
      ),
      { numRuns: runs, interruptAfterTimeLimit: LIMIT_MS, markInterruptAsFailure: true },
    );
    // Neither all nor none: else the fuzz looks at nothing.
    for (const outcome of ['done', 'refused']) expect(outcomes.get(outcome)).toBeGreaterThan(0);
  },
  LIMIT_MS + 10_000,
);
