import { execFile } from 'node:child_process';
import path from 'node:path';
import { expect } from 'vitest';

/** The program under test; `KM_PROGRAM` names another build of it. */
export const PROGRAM = process.env['KM_PROGRAM'] ?? path.join(import.meta.dirname, '../../bin/km-backup');

/** A user that is not root and owns nothing. */
export const STRANGER = 65_532;

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunHow {
  readonly env?: Record<string, string>;
  /** Run as a user without rights, if this test runs as root. */
  readonly asStranger?: boolean;
  /** A shell's redirections and pipes, such as `> /dev/full`. */
  readonly redirect?: string;
  readonly cwd?: string;
}

/** Runs km-backup as a person would, for at most a minute. */
export function kmBackup(args: readonly (string | Buffer)[], how: RunHow = {}): Promise<Ended> {
  const { env = {}, asStranger = false, redirect, cwd } = how;
  const drop =
    asStranger && process.getuid?.() === 0
      ? ['setpriv', `--reuid=${STRANGER}`, `--regid=${STRANGER}`, '--clear-groups', '--']
      : [];
  const quoted = [...drop, PROGRAM, ...args].map(quote).join(' ');
  const command = redirect === undefined ? `exec ${quoted}` : `${quoted} ${redirect}`;
  const { PATH, HOME, NODE_COMPILE_CACHE } = process.env;
  return new Promise((resolve) => {
    execFile(
      'bash',
      ['-c', command],
      {
        env: { PATH, HOME, ...(asStranger ? {} : { NODE_COMPILE_CACHE }), ...env },
        cwd,
        timeout: 60_000,
        maxBuffer: 1 << 26,
      },
      (error, stdout, stderr) =>
        resolve({ code: error ? ((error.code as unknown as number) ?? null) : 0, stdout, stderr }),
    );
  });
}

/** Quotes any bytes except NUL as one word for bash. */
function quote(argument: string | Buffer): string {
  const bytes = Buffer.from(argument);
  const plain = /^[\w./=,:+-]+$/.test(bytes.toString('latin1'));
  return plain
    ? bytes.toString('latin1')
    : `$'${[...bytes].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}'`;
}

/** Checks the answer to a foreseeable cause: km-backup exited by itself, with a message and without a stack trace. */
export function expectWords({ code, stdout, stderr }: Ended): void {
  expect(code, 'it hung or was killed').not.toBeNull();
  expect(stderr + stdout).not.toMatch(/^\s+at .+:\d+/m);
  expect(stderr + stdout).not.toMatch(/fault of km-backup itself|Unhandled|node:internal|Node\.js v\d/);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: nothing that drives a terminal
  expect(stderr + stdout).not.toMatch(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/);
}
