import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** What is put to a script: a source tree, a destination, and how to call the script on them. */
class Bench {
  readonly root = fs.mkdtempSync(path.join(os.tmpdir(), 'km-contract-'));
  readonly source = path.join(this.root, 'the source');
  readonly destination = path.join(this.root, 'to', 'the archives');
  readonly script: string;

  constructor(script: string) {
    this.script = script;
    const at = (name: string) => path.join(this.source, name);
    fs.mkdirSync(at('deep/er'), { recursive: true });
    fs.mkdirSync(at('empty'));
    fs.writeFileSync(at('plain.txt'), 'plain\n');
    fs.writeFileSync(at('.hidden'), 'hidden\n');
    fs.writeFileSync(at('-dash'), 'dash\n');
    fs.writeFileSync(at('deep/er/ä name\twith\nall'), 'odd\n');
    fs.writeFileSync(at('deep/data.bin'), Buffer.alloc(300_000, 'seven\0'));
    fs.writeFileSync(at('run.sh'), '#!/bin/sh\n', { mode: 0o755 });
    fs.chmodSync(at('run.sh'), 0o755);
    fs.symlinkSync('deep/data.bin', at('link'));
    fs.symlinkSync('/nowhere/at all', at('dangling'));
    fs.utimesSync(at('plain.txt'), 1_000_000_000, 1_000_000_000);
  }

  run(args: string[] = [], env: Record<string, string> = {}) {
    const { status, stdout, stderr } = spawnSync(this.script, args, {
      cwd: this.root,
      encoding: 'utf8',
      timeout: 60_000,
      env: {
        PATH: process.env['PATH'],
        KM_BACKUP_SOURCE: this.source,
        KM_BACKUP_DEST: this.destination,
        ...env,
      },
    });
    return { status, stdout, stderr };
  }

  /** The path of the last line `Backup written to PATH`, or undefined. */
  static writtenPath(stdout: string): string | undefined {
    const found = stdout.split('\n').filter((line) => line.startsWith('Backup written to '));
    return found.at(-1)?.slice('Backup written to '.length);
  }

  /** A run that must succeed; returns the archive it names. */
  backup(args: string[] = []): string {
    const { status, stdout, stderr } = this.run(args);
    assert.equal(status, 0, `exit status, standard error: ${stderr}`);
    const written = Bench.writtenPath(stdout);
    assert.ok(written, `no line "Backup written to PATH" in ${JSON.stringify(stdout)}`);
    const file = path.resolve(this.root, written);
    assert.ok(fs.lstatSync(file, { throwIfNoEntry: false })?.isFile(), `${file} is no regular file`);
    return file;
  }

  /** Every managed archive below the root. */
  archives(): string[] {
    return fs
      .readdirSync(this.root, { recursive: true, encoding: 'utf8' })
      .filter((name) => /(?:^|\/)km-backup-[^/]*\.(?:tgz|tar\.gz)$/i.test(name));
  }

  [Symbol.dispose](): void {
    fs.rmSync(this.root, { recursive: true, force: true });
  }
}

/** Name -> kind, mode, content or target, time of change: what a person would miss. */
function describeTree(root: string): Record<string, string> {
  const tree: Record<string, string> = {};
  for (const name of fs.readdirSync(root, { recursive: true, encoding: 'utf8' }).sort()) {
    const file = path.join(root, name);
    const stat = fs.lstatSync(file);
    if (stat.isSymbolicLink()) tree[name] = `-> ${fs.readlinkSync(file)}`;
    else if (stat.isDirectory()) tree[name] = `directory ${stat.mode}`;
    else
      tree[name] =
        `${stat.mode} ${Math.floor(stat.mtimeMs / 1000)} ${fs.readFileSync(file, 'base64').slice(-400)} ${stat.size}`;
  }
  return tree;
}

function extract(archive: string, into: string): void {
  fs.mkdirSync(into);
  const { status, stderr } = spawnSync('tar', ['-xzf', archive, '-C', into], { encoding: 'utf8' });
  assert.equal(status, 0, `tar -xzf: ${stderr}`);
}

/**
 * What the playbook, its scheduler and its operators rely on of the backup script. Each throws on a breach.
 * Nothing but the environment, arguments, exit status, output and files are looked at, so that any
 * implementation can be put to it.
 */
export const contract: Readonly<Record<string, (bench: Bench) => void>> = {
  'packs the source into an archive that tar -xzf restores': (bench) => {
    const archive = bench.backup();
    const restored = path.join(bench.root, 'restored');
    extract(archive, restored);
    assert.deepEqual(describeTree(restored), describeTree(bench.source));
  },
  'writes it into the destination, which it makes, under a managed name': (bench) => {
    const archive = bench.backup();
    assert.equal(path.dirname(archive), bench.destination);
    assert.match(path.basename(archive), /^km-backup-\d{8}T\d{6}Z?\.(?:tgz|tar\.gz)$/);
    assert.deepEqual(bench.archives(), [path.relative(bench.root, archive)]);
  },
  'leaves the source and archives that are there as they were': (bench) => {
    fs.mkdirSync(bench.destination, { recursive: true });
    const old = path.join(bench.destination, 'km-backup-20200101T000000.tgz');
    fs.writeFileSync(old, 'old');
    const before = describeTree(bench.source);
    bench.backup();
    assert.deepEqual(describeTree(bench.source), before);
    assert.ok(fs.existsSync(old), 'the archive that was there is gone');
    assert.equal(fs.readFileSync(old, 'utf8'), 'old');
    assert.equal(bench.archives().length, 2);
  },
  'takes an output path and writes there': (bench) => {
    const output = path.join(bench.root, 'my own.tgz');
    assert.equal(bench.backup([output]), output);
    assert.deepEqual(bench.archives(), []);
    extract(output, path.join(bench.root, 'restored'));
  },
  'explains itself with --help and does nothing else': (bench) => {
    const { status, stdout } = bench.run(['--help']);
    assert.equal(status, 0);
    assert.match(stdout, /usage/i);
    assert.equal(Bench.writtenPath(stdout), undefined);
    assert.deepEqual(bench.archives(), []);
  },
  'exits with 1 where the source is missing, and names no archive': (bench) => {
    const { status, stdout, stderr } = bench.run([], { KM_BACKUP_SOURCE: path.join(bench.root, 'none') });
    assert.equal(status, 1);
    assert.equal(Bench.writtenPath(stdout), undefined);
    assert.notEqual(stderr.trim(), '');
    assert.deepEqual(bench.archives(), []);
  },
  'fails where the destination cannot be written, and names no archive': (bench) => {
    const file = path.join(bench.root, 'a file');
    fs.writeFileSync(file, '');
    const { status, stdout } = bench.run([], { KM_BACKUP_DEST: path.join(file, 'below') });
    assert.notEqual(status, 0);
    assert.equal(Bench.writtenPath(stdout), undefined);
  },
};

/** Where the original is weak and a successor must not be; the original breaks these. */
export const beyond: Readonly<Record<string, (bench: Bench) => void>> = {
  'a destination inside the source is not packed': (bench) => {
    const inside = path.join(bench.source, 'backups', 'archives');
    const before = Object.keys(describeTree(bench.source));
    for (let run = 0; run < 2; run += 1) {
      const { status, stdout } = bench.run([], { KM_BACKUP_DEST: inside });
      assert.equal(status, 0);
      const restored = path.join(bench.root, `restored-${run}`);
      extract(Bench.writtenPath(stdout) ?? assert.fail('no line'), restored);
      const archived = Object.keys(describeTree(restored)).filter((name) => !name.startsWith('backups'));
      assert.deepEqual(archived, before);
      assert.equal(fs.existsSync(path.join(restored, 'backups', 'archives')), false);
    }
  },
  'runs within one second overwrite nothing': (bench) => {
    const made = new Set(Array.from({ length: 4 }, () => bench.backup()));
    assert.equal(made.size, 4);
    assert.equal(bench.archives().length, 4);
  },
  'an archive of the destination is not overwritten, even when named': (bench) => {
    fs.mkdirSync(bench.destination, { recursive: true });
    const output = path.join(bench.destination, 'km-backup-20200101T000000Z.tgz');
    fs.writeFileSync(output, 'taken');
    assert.notEqual(bench.run([output]).status, 0);
    assert.equal(fs.readFileSync(output, 'utf8'), 'taken');
  },
};

/** Puts one clause to a script; throws on a breach. */
export function putTo(script: string, clause: (bench: Bench) => void): void {
  using bench = new Bench(script);
  clause(bench);
}

/** Whether a script breaks one clause of the contract, by a part of its name. */
export function breaks(script: string, part: string): boolean {
  const [clause, ...others] = Object.entries(contract).filter(([name]) => name.includes(part));
  if (!clause || others.length > 0) throw new Error(`not one clause: ${part}`);
  try {
    putTo(script, clause[1]);
    return false;
  } catch (error) {
    if (error instanceof assert.AssertionError) return true;
    throw error;
  }
}
