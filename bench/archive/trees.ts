import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

export interface Tree extends Disposable {
  readonly name: string;
  readonly path: string;
  readonly files: number;
  readonly bytes: number;
  /** The file for the single-file restore. */
  readonly pick: string | undefined;
}

const MIB = 1 << 20;

export const TREES = ['small', 'large', 'mixed'] as const;

/** Builds one tree at a time, because they are large. */
export function* buildTrees(
  work: string,
  checkout: string,
  quick: boolean,
  only: readonly string[],
): Generator<Tree> {
  const builders: Record<(typeof TREES)[number], (at: string) => { pick?: string; live?: ChildProcess }> = {
    small: (at) => small(at, checkout, quick),
    large: (at) => large(at, quick),
    mixed: (at) => mixed(at, quick),
  };
  for (const [name, build] of Object.entries(builders)) {
    if (!only.includes(name)) continue;
    const at = path.join(work, `tree-${name}`);
    fs.mkdirSync(at);
    const { pick, live } = build(at);
    const files = listFiles(at);
    yield {
      name,
      path: at,
      files: files.length,
      bytes: files.reduce((sum, file) => sum + fs.statSync(file).size, 0),
      pick,
      [Symbol.dispose]: () => {
        live?.kill('SIGKILL');
        fs.rmSync(at, { recursive: true, force: true });
      },
    };
  }
}

/** Changes a share of the files in place, at their start. */
export function apply(tree: Tree, share: number, generation: number): void {
  const files = listFiles(tree.path).filter((file) => !/\.db(?:-wal|-shm)?$/.test(file));
  const step = Math.max(1, Math.round(1 / share));
  for (let index = generation % step; index < files.length; index += step) {
    const file = files[index]!;
    const fd = fs.openSync(file, 'r+');
    fs.writeSync(fd, `changed ${generation}\n`, 0);
    fs.closeSync(fd);
  }
}

function listFiles(root: string): string[] {
  return fs
    .readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .sort();
}

/** Source files: Go's library and module cache, if present, and this checkout's packages. */
function small(at: string, checkout: string, quick: boolean) {
  const origins = [
    '/usr/local/go/src',
    path.join(os.homedir(), 'go/pkg/mod'),
    path.join(checkout, 'node_modules'),
  ].filter((each) => fs.existsSync(each));
  const text = /\.(?:go|[cm]?[jt]s|json|md|s|h|c|txt|map|yaml|yml)$/;
  const wanted = quick ? 5_000 : 24_000;
  let count = 0;
  for (const origin of origins) {
    for (const file of listFiles(origin)) {
      if (count >= wanted || !text.test(file) || fs.statSync(file).size > 512 * 1024) continue;
      const target = path.join(at, path.basename(origin), path.relative(origin, file));
      fs.mkdirSync(path.dirname(target), { recursive: true });
      fs.copyFileSync(file, target);
      count++;
    }
  }
  return {};
}

/** Half noise, half text, which compresses about as well as databases and indexes. Identical on every machine. */
function large(at: string, quick: boolean) {
  const size = (quick ? 64 : 512) * MIB;
  for (let index = 0; index < 4; index++) {
    const fd = fs.openSync(path.join(at, `segment-${index}.bin`), 'w');
    for (let offset = 0; offset < size; offset += MIB) fs.writeSync(fd, block(index * size + offset));
    fs.closeSync(fd);
  }
  fs.mkdirSync(path.join(at, 'meta'));
  fs.writeFileSync(path.join(at, 'meta/settings.json'), '{"kept": true}\n');
  return { pick: 'meta/settings.json' };
}

function block(seed: number): Buffer {
  const bytes = Buffer.alloc(MIB);
  let state = (seed >>> 0) + 0x9e3779b9;
  for (let at = 0; at < MIB; at += 4) {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x6d2b79f5;
    if (at & 4096) bytes.writeUInt32LE(state >>> 0, at);
    else bytes.write(`k${(state >>> 24) & 63}=v `.slice(0, 4).padEnd(4), at, 'latin1');
  }
  return bytes;
}

/** A service's state: a database that is being written, its files, and notes. */
function mixed(at: string, quick: boolean) {
  const rows = quick ? 20_000 : 400_000;
  const database = path.join(at, 'state.db');
  const fill = `
    const { DatabaseSync } = require('node:sqlite');
    const db = new DatabaseSync(${JSON.stringify(database)});
    db.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; CREATE TABLE event(id INTEGER PRIMARY KEY, body TEXT)');
    const insert = db.prepare('INSERT INTO event(body) VALUES (?)');
    db.exec('BEGIN');
    for (let i = 0; i < ${rows}; i++) insert.run('event ' + i + ' ' + (i * 2654435761 % 4294967296).toString(36).repeat(60));
    db.exec('COMMIT');`;
  execFileSync(process.execPath, ['-e', fill], { stdio: ['ignore', 'ignore', 'inherit'] });
  for (let index = 0; index < (quick ? 500 : 5_000); index++) {
    const folder = path.join(at, 'documents', String(index % 50));
    fs.mkdirSync(folder, { recursive: true });
    fs.writeFileSync(
      path.join(folder, `note-${index}.md`),
      `# Note ${index}\n${'Some words of a note. '.repeat(index % 200)}`,
    );
  }
  const write = `
    const { DatabaseSync } = require('node:sqlite');
    const db = new DatabaseSync(${JSON.stringify(database)});
    const insert = db.prepare('INSERT INTO event(body) VALUES (?)');
    setInterval(() => insert.run('live ' + Date.now()), 20);`;
  const live = spawn(process.execPath, ['-e', write], { stdio: 'ignore' });
  return { live };
}
