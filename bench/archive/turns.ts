import { type Measured, measure, run, summarize } from '../measure.ts';
import type { Tree } from './trees.ts';

/** A program to compare: what to do before each run, and the command that is timed. */
export interface Contender {
  readonly name: string;
  readonly prepare?: () => void;
  readonly command: readonly string[] | (() => readonly string[]);
  readonly statuses?: readonly number[];
  readonly cwd?: string;
}

/** Results by the name of the contender. */
export type Results = ReadonlyMap<string, Measured>;

export const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

/** Runs programs in turns, so that a slow moment of the machine affects all of them. */
export class Turns {
  readonly #work: string;
  readonly #environment: NodeJS.ProcessEnv;
  readonly #repetitions: number;

  constructor(work: string, environment: NodeJS.ProcessEnv, repetitions: number) {
    this.#work = work;
    this.#environment = environment;
    this.#repetitions = repetitions;
  }

  must(...command: readonly string[]): void {
    run(command, { env: this.#environment });
  }

  /** Reads `inputs` first, so that every program finds them in the page cache. */
  once({ prepare, command, statuses, cwd }: Contender, inputs: readonly string[] = []): Measured {
    prepare?.();
    for (const input of inputs)
      this.must('bash', '-c', `tar -c ${quote(input)} 2> /dev/null | cat > /dev/null`);
    const line = typeof command === 'function' ? command() : command;
    const options = { env: this.#environment, cwd: cwd ?? this.#work };
    return measure(line, statuses ? { ...options, statuses } : options);
  }

  /** @param before Called at the start of each turn. */
  compare(
    tree: Tree,
    contenders: readonly Contender[],
    inputs: readonly string[] = [tree.path],
    before: () => void = () => {},
  ): Results {
    const runs = new Map(contenders.map(({ name }) => [name, [] as Measured[]]));
    for (let turn = 0; turn < this.#of(tree); turn++) {
      before();
      for (const contender of contenders) runs.get(contender.name)!.push(this.once(contender, inputs));
    }
    return new Map([...runs].map(([name, list]) => [name, summarize(list)]));
  }

  /** A tree over 1 GB gets one turn: its runs are long enough to vary little, and too long to repeat. */
  #of(tree: Tree): number {
    return tree.bytes > 1e9 ? 1 : this.#repetitions;
  }
}
