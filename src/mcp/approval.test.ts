import { describe, expect, test } from 'vitest';
import {
  type Answer,
  APPROVAL_SECONDS,
  digestOfInput,
  gateOf,
  OpenQuestions,
  refusalOf,
  type Situation,
} from './approval.ts';

const asked = { tool: 'restore', input: 'digest' };
const question = { ...asked, nonce: 'n' };
const yes: Answer = { kind: 'answered', approved: true, question };
const no: Answer = { kind: 'answered', approved: false, question };
const situation = (more: Partial<Situation>): Situation => ({
  allowDestructive: false,
  canAsk: true,
  answer: { kind: 'none' },
  asked,
  isOpen: true,
  ...more,
});

test.each([
  ['not asked yet', {}, 'ask'],
  ['not asked yet, and the client cannot ask', { canAsk: false }, 'ApprovalUnavailable'],
  ['approved', { answer: yes }, 'run'],
  ['declined', { answer: no }, 'ApprovalDeclined'],
  ['approved, but used before', { answer: yes, isOpen: false }, 'ApprovalNotValid'],
  ['declined, but used before', { answer: no, isOpen: false }, 'ApprovalNotValid'],
  ['approved for another tool', { answer: yes, asked: { ...asked, tool: 'prune' } }, 'ApprovalNotValid'],
  ['approved for another input', { answer: yes, asked: { ...asked, input: 'x' } }, 'ApprovalNotValid'],
  ['allowed from the start', { allowDestructive: true }, 'run'],
  ['allowed from the start, and the client cannot ask', { allowDestructive: true, canAsk: false }, 'run'],
] as const)('%s', (_, more, expected) => {
  const gate = gateOf(situation(more));
  expect(gate.kind === 'refuse' ? gate.reason : gate.kind).toBe(expected);
  if (gate.kind === 'refuse') expect(refusalOf(gate).message).toMatch(/^refused: .*Nothing was changed/);
});

describe('questions', () => {
  test('are open once', () => {
    const questions = new OpenQuestions(() => 0);
    const one = questions.ask(asked);
    expect(questions.take({ ...one, nonce: 'forged' })).toBe(false);
    expect(questions.take(one)).toBe(true);
    expect(questions.take(one)).toBe(false);
  });

  test('expire', () => {
    let now = 0;
    const questions = new OpenQuestions(() => now);
    const [early, late] = [questions.ask(asked), questions.ask(asked)];
    now = APPROVAL_SECONDS * 1000 - 1;
    expect(questions.take(early)).toBe(true);
    now++;
    expect(questions.take(late)).toBe(false);
  });

  test('do not fill the memory: the oldest is forgotten', () => {
    const questions = new OpenQuestions(() => 0);
    const all = Array.from({ length: 1001 }, () => questions.ask(asked));
    expect(questions.take(all[0]!)).toBe(false);
    expect(questions.take(all[1]!)).toBe(true);
    expect(questions.take(all[1000]!)).toBe(true);
  });
});

test('every part of an input changes its digest', () => {
  const all = [{ a: 1 }, { a: 2 }, { a: 1, planDigest: 'x' }, { a: 1, planDigest: 'y' }, {}];
  expect(new Set(all.map(digestOfInput)).size).toBe(all.length);
});
