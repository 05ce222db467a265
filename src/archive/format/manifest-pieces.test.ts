import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Member, Summary } from './manifest.ts';
import { ManifestFrames } from './manifest-frames.ts';
import { joinManifest, manifestPieces } from './manifest-pieces.ts';
import { readMemberLines, readSummary } from './manifest-reader.ts';
import { ManifestWriter, manifestFrame, manifestTail, type Sink } from './manifest-writer.ts';
import { summaryWith } from './testing/summary.ts';

let folder: string;
beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'km-pieces-'));
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

class MemorySink implements Sink {
  readonly bytes: Buffer[] = [];
  position = 0;
  append(bytes: Uint8Array): void {
    this.bytes.push(Buffer.from(bytes));
    this.position += bytes.length;
  }
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

interface Made {
  readonly name: string;
  readonly size: number;
  readonly files: number;
}

/** Writes a manifest with a member for each of these. */
function write(members: readonly Made[]): {
  readonly file: string;
  readonly bytes: Buffer;
  readonly summary: Summary;
} {
  const sink = new MemorySink();
  const writer = new ManifestWriter(sink);
  let offset = 0;
  for (const { name, size, files } of members) {
    const kind: Member['kind'] = files === 0 ? 'part' : 'group';
    const digest = sha256(`${name} ${size} ${files}`);
    const base = { kind, offset, size, rawSize: 3 * size, sha256: digest };
    const lines = Array.from({ length: files }, (_, file) => {
      const mtime = '1767225600000000000';
      return `{"path":"${name}/${file}","type":"file","mode":420,"uid":0,"gid":0,"size":9,"mtime":"${mtime}","ctime":"${mtime}","ino":"${file}","sha256":"${sha256(name + file)}"}\n`;
    });
    writer.add(files === 0 ? { ...base, rawSha256: digest } : base, lines.join(''));
    offset += size;
  }
  const summary = summaryWith({
    sizeBytes: offset,
    sha256: sha256('archive'),
    members: members.length,
    entries: members.reduce((sum, { files }) => sum + files, 0),
  });
  writer.finish(summary);
  const bytes = Buffer.concat(sink.bytes);
  const file = path.join(folder, 'manifest');
  fs.writeFileSync(file, bytes);
  return { file, bytes, summary };
}

/** What a copy stores of it: the pieces, and the tail. */
async function framesOf(file: string, summary: Summary): Promise<Buffer[]> {
  const frames = (await Array.fromAsync(manifestPieces(file))).map(({ text }) => manifestFrame(text));
  return [...frames, manifestTail(summary, Buffer.concat(frames).length)];
}

const made = fc.record({
  name: fc.string({ minLength: 1, maxLength: 8, unit: fc.constantFrom('a', 'b', 'c', 'ü', ' ') }),
  size: fc.integer({ min: 1, max: 1_000_000 }),
  files: fc.integer({ min: 0, max: 12 }),
});

test('a manifest comes back from its pieces bit for bit', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(made, { maxLength: 300 }), async (members) => {
      const { file, bytes, summary } = write(members);
      const pieces = path.join(folder, 'pieces');
      fs.writeFileSync(pieces, Buffer.concat(await framesOf(file, summary)));
      const sink = new MemorySink();
      await joinManifest(pieces, sink);
      expect(Buffer.concat(sink.bytes).equals(bytes)).toBe(true);
    }),
    { numRuns: 40 },
  );
});

test('the pieces and the tail are a manifest, too', async () => {
  const { file, summary } = write(
    Array.from({ length: 500 }, (_, at) => ({ name: `n${at}`, size: at + 1, files: 3 })),
  );
  const original = await Array.fromAsync(readMemberLines(file));
  const pieces = path.join(folder, 'pieces');
  fs.writeFileSync(pieces, Buffer.concat(await framesOf(file, summary)));
  expect(readSummary(pieces)).toEqual(summary);
  expect(await Array.fromAsync(readMemberLines(pieces))).toEqual(original);
  using frames = new ManifestFrames(pieces);
  expect(frames.length).toBeGreaterThan(5);
});

test('the pieces of its members are all of them, in order', async () => {
  const { file } = write(
    Array.from({ length: 500 }, (_, at) => ({ name: `n${at}`, size: at + 1, files: 3 })),
  );
  const pieces = await Array.fromAsync(manifestPieces(file));
  const digests = pieces.flatMap(({ members }) => members.map(({ member }) => member.sha256));
  expect(digests).toEqual(Array.from({ length: 500 }, (_, at) => sha256(`n${at} ${at + 1} 3`)));
  expect(pieces.length).toBeGreaterThan(5);
});

test('a member of another size changes its own piece, though all that follow move', async () => {
  const members = Array.from({ length: 2_000 }, (_, at) => ({ name: `n${at}`, size: 1_000 + at, files: 5 }));
  const textsOf = async (some: readonly Made[]) =>
    (await Array.fromAsync(manifestPieces(write(some).file))).map(({ text }) => text.toString());
  const before = new Set(await textsOf(members));
  const after = await textsOf(members.with(700, { name: 'n700', size: 5, files: 5 }));
  const changed = after.filter((text) => !before.has(text));
  // Its piece may be cut in two or joined with the next one.
  expect([changed.length > 0, changed.length <= 2]).toEqual([true, true]);
});

test.each<[string, (frames: readonly Buffer[]) => Buffer, RegExp]>([
  ['lack one', (frames) => Buffer.concat(frames.toSpliced(1, 1)), /counts in its summary differ/],
  ['have one twice', (frames) => Buffer.concat([frames[0]!, ...frames]), /counts in its summary differ/],
  ['lack the summary', (frames) => Buffer.concat(frames.slice(0, -1)), /no summary/],
  ['are nothing', () => Buffer.alloc(0), /no summary|not a valid manifest/],
  ['are altered', (frames) => Buffer.concat(frames).fill(7, 200, 220), /not a valid manifest/],
])('pieces that %s are refused', async (_, change, message) => {
  const { file, summary } = write(
    Array.from({ length: 300 }, (__, at) => ({ name: `n${at}`, size: at + 1, files: 3 })),
  );
  const frames = await framesOf(file, summary);
  const pieces = path.join(folder, 'damaged');
  fs.writeFileSync(pieces, change(frames));
  await expect(joinManifest(pieces, new MemorySink())).rejects.toThrow(message);
});
