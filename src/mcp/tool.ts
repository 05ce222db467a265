/** What a tool is: a tool that destroys something cannot be defined without the plan that a person approves. */
import type { z } from 'zod';

/** How far a call has come. */
export interface Progress {
  readonly done: number;
  readonly total?: number | undefined;
  readonly message: string;
}

/** One call of a tool. */
export interface Call {
  /** Aborted with an ArchiveError when the client cancels the call or the server ends. */
  readonly signal: AbortSignal;
  readonly progress: (progress: Progress) => void;
}

export interface Reply<T> {
  readonly data: T;
  /** The same in words, for people and for clients without structured content. Lines are escaped by `lines`. */
  readonly text: string;
  /** The call did not do what was asked; `data` and `text` say why. */
  readonly failed?: boolean;
}

/** What a destructive tool would do now. */
export interface Plan {
  readonly digest: string;
  /** What the person is asked to approve. */
  readonly text: string;
}

interface Described {
  /** By which clients call it. */
  readonly name: string;
  readonly title: string;
  readonly description: string;
}

/** A tool for the list of tools: its schemas still have their types. */
interface Defined<Input, Output> extends Described {
  readonly input: z.ZodType<Input>;
  readonly output: z.ZodType<Output>;
  readonly run: (input: Input, call: Call) => Promise<Reply<Output>>;
}

export type Effect =
  /** Changes nothing. */
  | { readonly effect: 'reads' }
  /** Adds something, and removes or replaces nothing. */
  | { readonly effect: 'adds' }
  /** Removes or replaces data: runs only with the digest of its plan, and once a person approved it. */
  | { readonly effect: 'destroys' };

type Reading<Input, Output> = Defined<Input, Output> & { readonly effect: 'reads' | 'adds' };

type Destructive<Input extends { planDigest: string }, Output> = Defined<Input, Output> & {
  readonly effect: 'destroys';
  readonly plan: (input: Input, call: Call) => Promise<Plan>;
};

/** A tool without the types of its schemas: its input has passed its schema. */
export type Tool = Described & {
  readonly input: z.ZodObject;
  readonly output: z.ZodObject;
  // biome-ignore lint/suspicious/noExplicitAny: checked where the tool is defined
  readonly run: (input: any, call: Call) => Promise<Reply<Record<string, unknown>>>;
} & (
    | { readonly effect: 'reads' | 'adds' }
    | {
        readonly effect: 'destroys';
        // biome-ignore lint/suspicious/noExplicitAny: as above
        readonly plan: (input: any, call: Call) => Promise<Plan>;
      }
  );

type Objects<I extends z.ZodObject, O extends z.ZodObject> = { readonly input: I; readonly output: O };

export function defineTool<I extends z.ZodObject, O extends z.ZodObject>(
  tool: Reading<z.output<I>, z.output<O>> & Objects<I, O>,
): Tool {
  return tool as unknown as Tool;
}

export function defineDestructiveTool<
  I extends z.ZodObject<{ planDigest: z.ZodString }>,
  O extends z.ZodObject,
>(tool: Destructive<z.output<I>, z.output<O>> & Objects<I, O>): Tool {
  return tool as unknown as Tool;
}

/** What clients may assume about a tool. Hints only: approval does not depend on them. */
export function annotationsOf({ title, effect }: Tool) {
  return {
    title,
    readOnlyHint: effect === 'reads',
    destructiveHint: effect === 'destroys',
    // A second call with the same digest is refused or changes nothing.
    idempotentHint: effect !== 'adds',
    openWorldHint: false,
  };
}
