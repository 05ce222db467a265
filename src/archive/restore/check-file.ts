import fs from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { messageOf } from './failures.ts';
import { JsonValidator } from './json-validator.ts';

/** One file to check in a worker thread. */
export interface CheckFileJob {
  readonly check: 'sqlite' | 'json';
  /** Where the file is. It may be written to by SQLite if `writable`. */
  readonly location: string | Uint8Array;
  readonly writable: boolean;
}

const BLOCK = 1024 * 1024;
const MAX_PROBLEMS = 3;

/** @returns What is wrong; undefined if nothing is. */
export function checkFile({ check, location, writable }: CheckFileJob): string | undefined {
  try {
    return check === 'json' ? checkJson(pathOf(location)) : checkSqlite(pathOf(location), writable);
  } catch (error) {
    return messageOf(error);
  }
}

function pathOf(location: string | Uint8Array): string | Buffer {
  return typeof location === 'string' ? location : Buffer.from(location);
}

function checkJson(location: string | Buffer): string | undefined {
  const fd = fs.openSync(location, 'r');
  try {
    const validator = new JsonValidator();
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    const block = Buffer.allocUnsafe(BLOCK);
    for (let read = fs.readSync(fd, block); read > 0; read = fs.readSync(fd, block)) {
      validator.push(decoder.decode(block.subarray(0, read), { stream: true }));
    }
    validator.push(decoder.decode());
    validator.end();
    return undefined;
  } finally {
    fs.closeSync(fd);
  }
}

/** A file that is not writable is opened without locks or journals, so nothing appears beside it. */
function checkSqlite(location: string | Buffer, writable: boolean): string | undefined {
  // Loaded by the thread that needs it.
  const { DatabaseSync: Database } = process.getBuiltinModule('node:sqlite');
  const fd = fs.openSync(location, 'r');
  let database: DatabaseSync | undefined;
  try {
    if (fs.fstatSync(fd).size === 0) return 'it is empty, so it holds no database';
    database = writable
      ? new Database(location)
      : new Database(`file:/proc/self/fd/${fd}?immutable=1`, { readOnly: true });
    const rows = database.prepare(`PRAGMA integrity_check(${MAX_PROBLEMS})`).all();
    const problems = rows.map((row) => String(Object.values(row)[0])).filter((text) => text !== 'ok');
    return problems.length === 0 ? undefined : problems.join('; ');
  } finally {
    database?.close();
    fs.closeSync(fd);
  }
}
