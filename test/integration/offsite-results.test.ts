/** The commands on a location as Jobs run them: what they report, and what they do after one of them failed. */
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CheckResult, CopyResult } from '../../src/api/location-result.ts';
import { Sandbox } from '../support/backup.ts';
import { kmBackup } from '../support/km-backup.ts';

const SERIES = 'team/notes';

let box: Sandbox;
let url: string;
let resultFile: string;
beforeEach(() => {
  box = new Sandbox();
  // Archives of the future are kept beyond all rules.
  box.clockAheadMs = -600_000;
  url = `dir:${path.join(box.root, 'location')}`;
  resultFile = path.join(box.root, 'result');
});
afterEach(() => box[Symbol.dispose]());

/** A complete archive of the series; gives its name. */
async function backUp(content: string, series = SERIES): Promise<string> {
  box.write('file', content);
  box.clockAheadMs += 5_000;
  const { result } = await box.back({ series });
  return path.basename(result.archive!.path);
}

async function check(...args: string[]) {
  const ended = await kmBackup(['location', 'check', ...args, `--result-file=${resultFile}`, url]);
  return { ...ended, result: CheckResult.parse(JSON.parse(fs.readFileSync(resultFile, 'utf8'))) };
}

async function copy(...args: string[]) {
  const words = ['copy', '--missing', `--destination=${box.destination}`, `--series=${SERIES}`];
  const ended = await kmBackup([
    ...words,
    '--no-encryption',
    '--retry-seconds=1',
    ...args,
    `--result-file=${resultFile}`,
    url,
  ]);
  return { ...ended, result: CopyResult.parse(JSON.parse(fs.readFileSync(resultFile, 'utf8'))) };
}

const copies = async () => {
  const { stdout } = await kmBackup(['list', url, '--json']);
  return (JSON.parse(stdout) as { archive: string }[]).map(({ archive }) => archive);
};
const packs = () =>
  fs.globSync('location/packs/**/*.pack', { cwd: box.root }).map((file) => path.join(box.root, file));

describe('a check', () => {
  test('makes the location if told to, keeps it the next time, and counts what is there', async () => {
    const before = await check('--usage');
    expect(before).toMatchObject({ code: 1, result: { outcome: 'Failed', reason: 'LocationUnsuitable' } });
    const made = await check('--init', '--usage');
    expect(made).toMatchObject({
      code: 0,
      result: { outcome: 'Succeeded', reason: 'LocationChecked', usage: { archives: 0, objects: 2 } },
    });
    const again = await check('--init');
    expect(again.result.locationId).toBe(made.result.locationId);
    await backUp('a');
    await copy();
    const { usage } = (await check('--usage')).result;
    expect(usage?.archives).toBe(1);
    expect(usage?.bytes).toBeGreaterThan(500);
  });

  test('refuses a location with another id, and writes nothing there', async () => {
    await check('--init');
    const files = () => fs.readdirSync(path.join(box.root, 'location'), { recursive: true }).sort();
    const before = files();
    const { result } = await check('--expect-id=another');
    expect(result).toMatchObject({ outcome: 'Failed', reason: 'LocationUnsuitable' });
    expect(result.message).toContain('not the location it was');
    expect(files()).toEqual(before);
  });
});

describe('a copy', () => {
  test('brings the newest archive and those that are missing, and names them newest first', async () => {
    const [a, b] = [await backUp('a'), await backUp('b')];
    const first = await copy();
    expect(first).toMatchObject({ code: 0, result: { outcome: 'Succeeded', archive: b, confirmed: [b, a] } });
    const c = await backUp('c');
    const second = await copy();
    expect(second.result).toMatchObject({ archive: c, confirmed: [c, b, a] });
    expect(second.stdout.split('\n').filter((line) => line.startsWith('Copied'))).toHaveLength(1);
    expect((await copy()).result).toMatchObject({ uploadedBytes: 0, confirmed: [c, b, a] });
  });

  test('leaves other series of the folder alone', async () => {
    const mine = await backUp('a');
    await backUp('b', 'team/other');
    expect((await copy()).result.confirmed).toEqual([mine]);
    expect(await copies()).toEqual([mine]);
  });

  test('does not bring what the rules would remove again, and applies them afterwards', async () => {
    const names: string[] = [];
    for (const content of ['a', 'b', 'c']) names.unshift(await backUp(content));
    const [c, b, a] = names;
    expect((await copy('--retention-limit=2')).result).toMatchObject({
      confirmed: [c, b],
      present: { count: 2 },
      pruned: { count: 0 },
    });
    expect(await copies()).not.toContain(a);
    const d = await backUp('d');
    expect((await copy('--retention-limit=2')).result).toMatchObject({
      confirmed: [d, c],
      pruned: { count: 1, failed: 0, names: [b] },
      present: { count: 2 },
      foreign: 0,
    });
    expect(await copies()).toEqual([d, c]);
  });

  test('that fails removes nothing, and says what had been done', async () => {
    const names: string[] = [];
    for (const content of ['a', 'b', 'c']) names.unshift(await backUp(content));
    await copy();
    // The newest one is cut short: its manifest says so only when it is read.
    const file = path.join(box.destination, names[0]!);
    const bytes = fs.readFileSync(file);
    bytes.fill(0, 20, 40);
    fs.writeFileSync(file, bytes);
    fs.rmSync(path.join(box.root, 'location/archives'), { recursive: true });
    const { code, result } = await copy('--retention-limit=1');
    expect(code).not.toBe(0);
    expect(result).toMatchObject({ outcome: 'Failed', reason: 'ArchiveCorrupt', confirmed: [] });
    expect(packs().length).toBeGreaterThan(0);
  });

  test('of an older archive that cannot be read is a warning, and nothing is removed then', async () => {
    const [a, b] = [await backUp('a'.repeat(5000)), await backUp('b'.repeat(5000))];
    const file = path.join(box.destination, a);
    const bytes = fs.readFileSync(file);
    bytes.fill(0, 20, 40);
    fs.writeFileSync(file, bytes);
    const { code, result } = await copy('--retention-limit=5');
    expect(code).toBe(1);
    expect(result).toMatchObject({
      outcome: 'Succeeded',
      archive: b,
      confirmed: [b],
      warnings: { count: 1 },
    });
    expect(result.warnings.samples[0]).toContain(a);
    expect(result.present).toBeUndefined();
  });

  test('insists on the id that it was told, also where the folder remembers another', async () => {
    const { locationId: first = '' } = (await check('--init')).result;
    await backUp('a');
    expect((await copy(`--expect-id=${first}`)).code).toBe(0);
    fs.rmSync(path.join(box.root, 'location'), { recursive: true });
    const { locationId: second = '' } = (await check('--init')).result;
    expect((await copy()).result.reason).toBe('LocationUnsuitable');
    expect((await copy(`--expect-id=${first}`)).result.reason).toBe('LocationUnsuitable');
    expect((await copy(`--expect-id=${second}`)).result).toMatchObject({ outcome: 'Succeeded' });
    expect((await copy()).code).toBe(0);
  });

  test('says how many copies of its series another cluster made', async () => {
    await backUp('a');
    await copy();
    const mine = box;
    box = new Sandbox();
    try {
      box.clockAheadMs = -60_000;
      await backUp('b');
      const { result } = await copy('--retention-limit=1');
      expect(result).toMatchObject({ foreign: 1, pruned: { count: 0 }, present: { count: 2 } });
      expect(result.message).toContain('another cluster');
    } finally {
      box[Symbol.dispose]();
      box = mine;
    }
  });

  test('waits for another copy of the same folder as long as it is told', async () => {
    await backUp('a');
    const { lockCopies } = await import('../../src/offsite/index.ts');
    const lock = await lockCopies(box.destination, 0);
    expect((await copy()).result).toMatchObject({ outcome: 'Failed', reason: 'Locked' });
    const waiting = copy('--lock-wait=50');
    setTimeout(() => lock[Symbol.dispose](), 1000);
    expect((await waiting).result).toMatchObject({ outcome: 'Succeeded' });
  });

  test('of hostile names and long lists fits a termination message', async () => {
    const { fitCopyResult } = await import('../../src/cli/km-backup/result-file.ts');
    const names = Array.from({ length: 5000 }, (_, index) => `km-backup-\u001b[31m-${index}.tgz`);
    const line = fitCopyResult({
      version: 1,
      command: 'copy',
      outcome: 'Succeeded',
      reason: 'CopyConfirmed',
      message: 'x'.repeat(9000),
      startedAt: '2026-03-01T01:00:00Z',
      finishedAt: '2026-03-01T01:00:00Z',
      confirmed: names,
      uploadedBytes: 1,
      reusedBytes: 1,
      pruned: { count: 5000, failed: 0, names },
      foreign: 0,
      warnings: { count: 5000, samples: names },
    });
    expect(Buffer.byteLength(line)).toBeLessThanOrEqual(4096);
    expect(line).not.toContain('\u001b');
    expect(CopyResult.parse(JSON.parse(line))).toMatchObject({ warnings: { count: 5000 } });
  });
});
