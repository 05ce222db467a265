/** Whether a destructive call may run: pure decisions, and the approvals that were asked for and not yet used. */
import { createHash, randomBytes } from 'node:crypto';
import { ArchiveError } from '../archive/index.ts';

/** What a person is asked about: one tool with one input. Travels through the client, signed. */
export interface Question {
  readonly tool: string;
  /** Digest of the whole input, with the digest of the plan in it. */
  readonly input: string;
  /** Makes the approval valid once. */
  readonly nonce: string;
}

/** What came back from the client. */
export type Answer =
  | { readonly kind: 'none' }
  | { readonly kind: 'answered'; readonly approved: boolean; readonly question: Question };

export type Gate =
  | { readonly kind: 'run' }
  | { readonly kind: 'ask' }
  | {
      readonly kind: 'refuse';
      readonly reason: 'ApprovalUnavailable' | 'ApprovalDeclined' | 'ApprovalNotValid';
    };

export interface Situation {
  /** The server was started with `--allow-destructive`. */
  readonly allowDestructive: boolean;
  /** The client can show a form to a person. */
  readonly canAsk: boolean;
  readonly answer: Answer;
  readonly asked: Omit<Question, 'nonce'>;
  /** The answer's question was asked by this server, not long ago, and has not been answered before. */
  readonly isOpen: boolean;
}

export function gateOf({ allowDestructive, canAsk, answer, asked, isOpen }: Situation): Gate {
  if (allowDestructive) return { kind: 'run' };
  if (answer.kind === 'none') return canAsk ? { kind: 'ask' } : refuse('ApprovalUnavailable');
  const { question, approved } = answer;
  if (!isOpen || question.tool !== asked.tool || question.input !== asked.input)
    return refuse('ApprovalNotValid');
  return approved ? { kind: 'run' } : refuse('ApprovalDeclined');
}

function refuse(reason: Extract<Gate, { kind: 'refuse' }>['reason']): Gate {
  return { kind: 'refuse', reason };
}

const words = {
  ApprovalUnavailable:
    'refused: this tool destroys data, so a person must approve it, and this client cannot ask one (it has no form elicitation). Nothing was changed. Use a client that can, run the command in a shell, or start the server with --allow-destructive.',
  ApprovalDeclined: 'refused: the person who was asked did not approve. Nothing was changed.',
  ApprovalNotValid:
    'refused: this approval was given for another call, was used already, or is too old. Nothing was changed. Call the tool again without it, to be asked again.',
} as const;

export function refusalOf({ reason }: Extract<Gate, { kind: 'refuse' }>): ArchiveError {
  return new ArchiveError(reason, words[reason]);
}

export function digestOfInput(input: unknown): string {
  return createHash('sha256').update(JSON.stringify(input)).digest('hex');
}

/** How long a person may take. Seconds. */
export const APPROVAL_SECONDS = 600;
/** A client that asks and never answers must not fill the memory. */
const MOST_OPEN = 1000;

/** The questions that wait for an answer. */
export class OpenQuestions {
  readonly #expiries = new Map<string, number>();
  readonly #now: () => number;

  /** @param now milliseconds, of a clock that is never set */
  constructor(now: () => number) {
    this.#now = now;
  }

  ask(asked: Omit<Question, 'nonce'>): Question {
    const nonce = randomBytes(16).toString('hex');
    if (this.#expiries.size >= MOST_OPEN) {
      const [oldest] = this.#expiries.keys();
      this.#expiries.delete(oldest!);
    }
    this.#expiries.set(nonce, this.#now() + APPROVAL_SECONDS * 1000);
    return { ...asked, nonce };
  }

  /** Whether it waits for an answer. From now on it does not. */
  take({ nonce }: Question): boolean {
    const expiry = this.#expiries.get(nonce);
    this.#expiries.delete(nonce);
    return expiry !== undefined && this.#now() < expiry;
  }
}
