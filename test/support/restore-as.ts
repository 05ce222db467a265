import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** Exit status of a command line, and what it printed. */
export interface Ended {
  readonly status: number;
  readonly output: string;
}

/** Runs km-backup command lines as another user, in a separate process that is started once. */
export class ProgramAs implements Disposable {
  readonly #child: ChildProcess;

  constructor(uid: number) {
    this.#child = fork(fileURLToPath(import.meta.url), [], { uid, gid: uid });
  }

  async run(...argv: string[]): Promise<Ended> {
    this.#child.send(argv);
    const died = once(this.#child, 'exit').then(([code, signal]) => {
      throw new Error(`the process ended (${code ?? signal}) before it answered`);
    });
    const [ended] = (await Promise.race([once(this.#child, 'message'), died])) as [Ended];
    died.catch(() => {});
    return ended;
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { main } = await import('../../src/cli/km-backup/main.ts');
  let output = '';
  const collect = (text: string | Uint8Array, ...more: unknown[]) => {
    output += text;
    const done = more.at(-1);
    if (typeof done === 'function') done();
    return true;
  };
  process.stdout.write = collect;
  process.stderr.write = collect;
  process.on('message', async (argv: string[]) => {
    output = '';
    const status = await main(argv, {});
    process.send!({ status, output });
  });
}
