/** Lets a request pass if whoever sends its bearer token has the right to. Answers are remembered for a moment. */
import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { Clock } from '../clock/index.ts';
import { type Guard, type HttpAnswer, text } from './http-server.ts';

export type Access = 'allowed' | 'unknown-token' | 'no-right';

/** A right that is taken away holds this long; a new one takes as long to work. */
const ALLOWED_MS = 60_000;
const REFUSED_MS = 10_000;
/** Tokens that are remembered: whoever tries many must not fill the memory. */
const REMEMBERED = 256;
/** Reviews at the same time: nor must they flood the API server. */
const PENDING = 16;

interface Answer {
  readonly access: Promise<Access>;
  untilMs: number;
}

function bearerToken({ authorization }: IncomingHttpHeaders): string | undefined {
  return /^Bearer +([^ ]+) *$/i.exec(authorization ?? '')?.[1];
}

const refusal = (status: number, body: string): HttpAnswer => ({
  ...text(status, body),
  ...(status === 401 && { headers: { 'www-authenticate': 'Bearer' } }),
});

/**
 * @param options.review Asks who a token belongs to and what they may do; rejects when there is no answer.
 * @param options.right In words, for the message to whoever lacks it.
 */
export function bearerGuard(options: {
  readonly review: (token: string) => Promise<Access>;
  readonly right: string;
  readonly clock: Clock;
  readonly onError: (error: unknown) => void;
}): Guard {
  const { review, right, clock, onError } = options;
  const answers = new Map<string, Answer>();
  let pending = 0;

  /** Requests with one token at the same time share a review. */
  async function accessOf(token: string): Promise<Access> {
    const now = clock.monotonic();
    const key = createHash('sha256').update(token).digest('base64');
    const known = answers.get(key);
    if (known && now < known.untilMs) return known.access;
    if (pending >= PENDING) throw new Error(`${PENDING} tokens are being checked already`);
    pending += 1;
    const answer: Answer = {
      access: review(token).finally(() => {
        pending -= 1;
      }),
      untilMs: Number.POSITIVE_INFINITY,
    };
    answers.delete(key);
    answers.set(key, answer);
    if (answers.size > REMEMBERED) answers.delete(answers.keys().next().value!);
    answer.access.then(
      (access) => {
        answer.untilMs = clock.monotonic() + (access === 'allowed' ? ALLOWED_MS : REFUSED_MS);
      },
      () => answers.get(key) === answer && answers.delete(key),
    );
    return answer.access;
  }

  return async (headers) => {
    const token = bearerToken(headers);
    if (token === undefined)
      return refusal(401, 'send the token of a service account: "Authorization: Bearer TOKEN"\n');
    try {
      const access = await accessOf(token);
      if (access === 'allowed') return undefined;
      if (access === 'no-right') return refusal(403, `the token is valid, but its owner may not ${right}\n`);
      return refusal(401, 'the API server does not accept this token\n');
    } catch (error) {
      onError(error);
      return refusal(503, 'the API server did not say what this token may do; try again\n');
    }
  };
}
