import { type StdioOptions, spawn } from 'node:child_process';
import { lstatSync } from 'node:fs';
import path from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { ExitCode } from '../archive/index.ts';
import { printable } from '../log/index.ts';

const WRITTEN = /^Backup written to (.+?)\s*$/;
const MAX_LINE = 8192;
const KEPT_ERRORS = 5;

/** A script has this long to clean up after SIGTERM before it gets SIGKILL. */
export const GRACE_MS = 25_000;

export type ScriptOutcome =
  | { kind: 'written'; incomplete: boolean; path: string; sizeBytes: number }
  | { kind: 'skipped'; error: string }
  | { kind: 'failed'; error: string };

export interface ScriptCall {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  /** Each line of standard error. */
  readonly onLine: (line: string) => void;
  /** Descriptor of a lock that the script and its children hold until they end, even if this process is killed. */
  readonly lock?: number | undefined;
}

/** Where the script finds the lock: beyond the descriptors 0 to 9 that shell scripts redirect. */
const LOCK_DESCRIPTOR = 19;

function stdioOf(lock: number | undefined): StdioOptions {
  const standard = ['ignore', 'pipe', 'pipe'] as const;
  if (lock === undefined) return [...standard];
  const unused = Array.from({ length: LOCK_DESCRIPTOR - standard.length }, () => 'ignore' as const);
  return [...standard, ...unused, lock];
}

/** Splits into lines with bounded memory: what exceeds `MAX_LINE` characters of a line is dropped. */
function lines(onLine: (line: string) => void): { write: (chunk: Buffer) => void; end: () => void } {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  const take = (text: string) => {
    const parts = text.split('\n');
    for (const part of parts.slice(0, -1)) {
      onLine(rest + part.slice(0, MAX_LINE - rest.length));
      rest = '';
    }
    rest += parts.at(-1)!.slice(0, MAX_LINE - rest.length);
  };
  return {
    write: (chunk) => take(decoder.write(chunk)),
    end: () => {
      take(decoder.end());
      if (rest !== '') onLine(rest);
    },
  };
}

function describeExit(code: number | null, signal: NodeJS.Signals | null): string {
  return code === null ? `was ended by ${signal}` : `exited with ${code}`;
}

function archiveAt(named: string, base: string): { path: string; sizeBytes: number } | undefined {
  const file = path.resolve(base, named);
  const stat = lstatSync(file, { throwIfNoEntry: false });
  return stat?.isFile() ? { path: file, sizeBytes: stat.size } : undefined;
}

/**
 * Runs a backup script by the playbook's contract. The last line `Backup written to PATH` of its standard output
 * names the archive; without one, the run failed. Exit status 3 means incomplete (with an archive), 4 that another
 * run holds the destination; any other but 0 is a failure. On abort its process group gets SIGTERM, and SIGKILL
 * after `GRACE_MS`.
 */
export async function runScript(call: ScriptCall): Promise<ScriptOutcome> {
  const { command, args, signal } = call;
  const name = printable(path.basename(command), 100);
  if (signal.aborted) return { kind: 'failed', error: `${name} was not started: stopping` };
  const child = spawn(command, args, {
    env: { ...call.env } as NodeJS.ProcessEnv,
    stdio: stdioOf(call.lock),
    // A process group of its own: a shell script's children must end with it.
    detached: true,
  });
  let written: string | undefined;
  const errors: string[] = [];
  const out = lines((line) => {
    written = WRITTEN.exec(line)?.[1] ?? written;
  });
  const err = lines((line) => {
    const text = printable(line, 500);
    errors.push(text);
    if (errors.length > KEPT_ERRORS) errors.shift();
    call.onLine(text);
  });
  child.stdout!.on('data', out.write);
  child.stderr!.on('data', err.write);

  const kill = (how: NodeJS.Signals) => {
    try {
      process.kill(-child.pid!, how);
    } catch {
      // It has ended already.
    }
  };
  let killer: NodeJS.Timeout | undefined;
  const terminate = () => {
    kill('SIGTERM');
    killer = setTimeout(kill, GRACE_MS, 'SIGKILL');
  };
  signal.addEventListener('abort', terminate, { once: true });
  const ended = await new Promise<{ code: number | null; signal: NodeJS.Signals | null } | Error>(
    (resolve) => {
      child.once('error', resolve);
      child.once('close', (code, how) => resolve({ code, signal: how }));
    },
  );
  signal.removeEventListener('abort', terminate);
  clearTimeout(killer);
  out.end();
  err.end();

  if (ended instanceof Error)
    return { kind: 'failed', error: `${printable(command)} could not be started: ${ended.message}` };
  const said = errors.length > 0 ? `: ${errors.join(' | ')}` : '';
  if (ended.code === ExitCode.locked)
    return { kind: 'skipped', error: `${name} found the destination in use${said}` };
  if (ended.code !== ExitCode.ok && ended.code !== ExitCode.incomplete)
    return { kind: 'failed', error: `${name} ${describeExit(ended.code, ended.signal)}${said}` };
  if (written === undefined)
    return { kind: 'failed', error: `${name} printed no line "Backup written to PATH"${said}` };
  const archive = archiveAt(written, '/');
  if (!archive)
    return {
      kind: 'failed',
      error: `${name} said it wrote ${printable(written)}, but there is no such file`,
    };
  return { kind: 'written', incomplete: ended.code === ExitCode.incomplete, ...archive };
}
