import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type Run, type RunOptions, runBackup } from '../../src/archive/create/run-backup.ts';

export const checkout = path.join(import.meta.dirname, '../..');
export const program = path.join(checkout, 'bin/km-backup');

/** Backs up a folder, quickly. */
export function backUpFolder(
  source: string,
  destination: string,
  more: Partial<RunOptions> = {},
): Promise<Run> {
  return runBackup({ ...optionsOf(source, destination), level: 1, ...more });
}

function optionsOf(source: string, destination: string): RunOptions {
  return {
    source,
    destination,
    compression: 'gzip',
    level: 5,
    exclude: [],
    include: [],
    full: false,
    allowEmpty: false,
    lockWaitMs: 0,
    retention: undefined,
    now: () => new Date(),
  };
}

/** A temporary directory with a `source` and a path for a `destination`. `dispose` removes it. */
export class Sandbox implements Disposable {
  readonly root = fs.mkdtempSync(path.join(os.tmpdir(), 'km-archive-'));
  readonly source = path.join(this.root, 'source');
  readonly destination = path.join(this.root, 'destination');
  /** How far the clock of runs is ahead. With 2 s or more, files written before a run count as settled in the next. */
  clockAheadMs = 0;

  constructor() {
    fs.mkdirSync(this.source);
  }

  write(name: string, content: string | Buffer): string {
    const file = path.join(this.source, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, content);
    return file;
  }

  back(options: Partial<RunOptions> = {}): Promise<Run> {
    return runBackup({ ...this.options(), ...options });
  }

  options(): RunOptions {
    return {
      ...optionsOf(this.source, this.destination),
      now: () => new Date(Date.now() + this.clockAheadMs),
      threads: 2,
    };
  }

  /** GNU tar's view of an archive, in a new directory. */
  untar(archive: string): string {
    const target = fs.mkdtempSync(path.join(this.root, 'untar-'));
    execFileSync('tar', [
      '--xattrs',
      '--xattrs-include=user.*',
      '--numeric-owner',
      '-xpzf',
      archive,
      '-C',
      target,
    ]);
    return target;
  }

  names(): string[] {
    return fs.readdirSync(this.destination).sort();
  }

  [Symbol.dispose](): void {
    fs.rmSync(this.root, { recursive: true, force: true });
  }
}
