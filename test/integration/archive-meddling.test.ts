import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Sandbox } from '../support/backup.ts';
import { type Meddling, packWhile } from '../support/packing.ts';

/** What others do in the source while it is packed. */
let box: Sandbox;
const at = (name: string) => path.join(box.source, name);
const MIB = 1 << 20;

beforeEach(() => {
  box = new Sandbox();
});
afterEach(() => box[Symbol.dispose]());

/** Packs, and reads the archive with GNU tar: contents of files, texts of symlinks. */
async function packed(meddling: Meddling) {
  const { warnings, archive, reusedBytes } = await packWhile(box, meddling);
  const tree = box.untar(archive);
  const read = (name: string) => {
    const file = path.join(tree, name);
    const stats = fs.lstatSync(file, { throwIfNoEntry: false });
    if (stats?.isSymbolicLink()) return `-> ${fs.readlinkSync(file)}`;
    return stats?.isFile() ? fs.readFileSync(file, 'latin1') : undefined;
  };
  const everything = execFileSync('tar', ['-xzOf', archive], { maxBuffer: 1 << 28 }).toString('latin1');
  return { warnings, read, everything, tree, reusedBytes };
}

/** Once, when the walk has just listed this path. */
function when(path: string, happens: () => void): Pick<Meddling, 'found'> {
  return {
    found: (found) => {
      if (found === path) happens();
    },
  };
}

describe('names of one inode', () => {
  const replace = (name: string, content: string | Buffer = 'other') => {
    fs.writeFileSync(path.join(box.root, 'new'), content);
    fs.renameSync(path.join(box.root, 'new'), at(name));
  };

  test.each([
    ['small', 'first'],
    ['large', 'first '.repeat(MIB)],
    ['small, replaced by a large one', 'first', 'other '.repeat(2 * MIB)],
  ])(
    'the first is replaced after it was listed (%s): the others keep their content',
    async (_, content, other = 'other') => {
      box.write('a', content);
      for (const name of ['b', 'c']) fs.linkSync(at('a'), at(name));
      const { warnings, read, tree } = await packed(when('c', () => replace('a', other)));
      expect([read('a') === other, read('b') === content, read('c') === content]).toEqual([true, true, true]);
      expect(fs.statSync(path.join(tree, 'b')).ino).toBe(fs.statSync(path.join(tree, 'c')).ino);
      expect(warnings).toEqual([]);
    },
  );

  test.each<[string, () => void]>([
    ['removed', () => fs.rmSync(at('a'))],
    ['replaced by a FIFO', () => [fs.rmSync(at('a')), execFileSync('mkfifo', [at('a')])]],
    ['replaced by a symlink', () => [fs.rmSync(at('a')), fs.symlinkSync('b', at('a'))]],
  ])('the first is %s: the next one holds the content', async (_, change) => {
    box.write('a', 'first');
    for (const name of ['b', 'c']) fs.linkSync(at('a'), at(name));
    const { warnings, read } = await packed(when('c', change));
    expect([read('a'), read('b'), read('c')]).toEqual([undefined, 'first', 'first']);
    expect(warnings).toEqual([expect.stringMatching(/^\.\/a: /)]);
  });

  test('a number that another file got meanwhile is not taken for the same inode', async () => {
    fs.writeFileSync(path.join(box.root, 'outside'), 'first');
    fs.linkSync(path.join(box.root, 'outside'), at('a'));
    // Their names are there when the walk begins; what they name changes before it looks at them.
    for (const name of ['b', 'c']) box.write(name, '');
    const { ino } = fs.statSync(at('a'));
    let reused = false;
    const { read } = await packed(
      when('a', () => {
        for (const file of [at('a'), path.join(box.root, 'outside'), at('b'), at('c')]) fs.rmSync(file);
        for (let i = 0; i < 5000 && !reused; i++) {
          const file = path.join(box.root, `try-${i}`);
          fs.writeFileSync(file, 'second');
          reused = fs.statSync(file).ino === ino;
          if (reused) for (const name of ['b', 'c']) fs.linkSync(file, at(name));
        }
      }),
    );
    expect(reused).toBe(true);
    expect([read('a'), read('b'), read('c')]).toEqual([undefined, 'second', 'second']);
  });

  test('of a symlink: the next name is stored as a symlink', async () => {
    fs.symlinkSync('nowhere', at('a'));
    fs.linkSync(at('a'), at('b'));
    const { warnings, read } = await packed(when('b', () => fs.rmSync(at('a'))));
    expect([read('a'), read('b')]).toEqual([undefined, '-> nowhere']);
    expect(warnings).toEqual(['./a: vanished after it was listed']);
  });

  test('the second lies in a member that could be reused', async () => {
    box.clockAheadMs = 2_100;
    box.write('a', 'first');
    for (let index = 0; index < 200; index++) box.write(`m/${index}`, `${index}`);
    fs.linkSync(at('a'), at('z'));
    await box.back();
    box.write('a2', 'has the first member packed again');
    const { read, reusedBytes } = await packed({
      ...when('z', () => {}),
      reuse: true,
      job: once(() => replace('a')),
    });
    expect([read('a'), read('z')]).toEqual(['other', 'first']);
    expect(reusedBytes).toBeGreaterThan(0);
  });

  test('a file with one name that is replaced is stored as it is then', async () => {
    box.write('a', 'first');
    const { warnings, read } = await packed(when('a', () => replace('a')));
    expect([warnings, read('a')]).toEqual([[], 'other']);
  });
});

function once(happens: () => void): () => void {
  let done = false;
  return () => {
    if (!done) happens();
    done = true;
  };
}

describe('a directory is replaced by a symlink that leads outside', () => {
  beforeEach(() => {
    for (const name of ['a', 'deep/er/b', 'deep/er/c', 'z']) {
      box.write(`dir/${name}`, 'mine');
      fs.mkdirSync(path.dirname(path.join(box.root, 'outside', name)), { recursive: true });
      fs.writeFileSync(path.join(box.root, 'outside', name), 'secret');
    }
    fs.symlinkSync('secret', path.join(box.root, 'outside/link'));
    fs.symlinkSync('mine', at('dir/link'));
    box.write('last', 'last');
  });

  test.each([
    ['dir', 'dir'],
    ['dir', 'dir/a'],
    ['dir', 'dir/deep/er'],
    ['dir', 'dir/z'],
    ['dir', 'last'],
    ['dir/deep', 'dir/deep/er'],
    ['dir/deep/er', 'dir/deep/er/b'],
    ['dir/deep/er', 'last'],
  ])('%s, when %s was listed: nothing from there gets into the archive', async (directory, moment) => {
    const outside = path.join(box.root, 'outside', directory.slice('dir'.length));
    const { everything, tree } = await packed(
      when(moment, () => {
        fs.renameSync(at(directory), path.join(box.root, 'away'));
        fs.symlinkSync(outside, at(directory));
      }),
    );
    expect(everything).not.toContain('secret');
    const link = fs.lstatSync(path.join(tree, 'dir/link'), { throwIfNoEntry: false });
    if (link) expect(fs.readlinkSync(path.join(tree, 'dir/link'))).toBe('mine');
  });

  test('the files that cannot be read any more are named', async () => {
    const { warnings } = await packed(
      when('last', () => {
        fs.renameSync(at('dir'), path.join(box.root, 'away'));
        fs.symlinkSync(path.join(box.root, 'outside'), at('dir'));
      }),
    );
    expect(warnings).toContain('./dir/a: was replaced, or a directory above it was, after it was listed');
  });
});

describe('a file is moved within the tree', () => {
  const moved = (directory: string, name: string) =>
    `./${directory}: changed while the archive was made: ${name} moved into it after it was listed, and may be missing`;

  test.each<[string, string, () => void, string, string]>([
    ['into a directory that was listed before', 'a/x', () => fs.renameSync(at('b/f'), at('a/f')), 'a', 'f'],
    [
      'into a directory made for it',
      'a/x',
      () => {
        fs.mkdirSync(at('a/new/er'), { recursive: true });
        fs.renameSync(at('b/f'), at('a/new/er/f'));
      },
      'a',
      'new/er/f',
    ],
    ['with its directory', 'a/x', () => fs.renameSync(at('b/sub'), at('a/sub')), 'a', 'sub'],
    [
      'by a log rotation',
      'b',
      () => {
        fs.renameSync(at('b/f'), at('b/f.1'));
        fs.writeFileSync(at('b/f'), 'new');
      },
      'b',
      'f.1',
    ],
    ['to the root', 'a/x', () => fs.renameSync(at('b/f'), at('0')), '', '0'],
  ])('%s: the directory is named', async (_, moment, move, directory, name) => {
    for (const file of ['a/x', 'b/f', 'b/sub/g']) box.write(file, file);
    const { warnings } = await packed(when(moment, move));
    expect(warnings).toContain(moved(directory, name));
  });

  test.each<[string, () => void]>([
    ['a new file', () => fs.writeFileSync(at('a/new'), 'new')],
    ['a new directory', () => [fs.mkdirSync(at('a/new')), fs.writeFileSync(at('a/new/file'), 'new')]],
    ['a journal that comes and goes', () => [fs.writeFileSync(at('a/j'), ''), fs.rmSync(at('a/j'))]],
    ['a file written to', () => fs.appendFileSync(at('a/x'), 'more')],
    ['a file renamed after it was packed', () => fs.renameSync(at('a/x'), at('a/y'))],
  ])('%s is not missing', async (_, change) => {
    for (const file of ['a/x', 'b/f']) box.write(file, file);
    // By the time the archive is read back, everything was read.
    const { warnings } = await packed({ job: (kind) => kind === 'verify' && change() });
    expect(warnings).toEqual([]);
  });

  test('our own files in a source that is the destination too are no change', async () => {
    box.write('a', 'x');
    const runs = [await box.back({ destination: box.source }), await box.back({ destination: box.source })];
    expect(runs.map(({ exitCode }) => exitCode)).toEqual([0, 0]);
  });
});
