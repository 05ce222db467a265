import { expect, test } from 'vitest';
import { type Overview, overviewOfResources } from '../overview/index.ts';
import { NOW } from '../overview/testing/fixtures.ts';
import { pageRoutes } from './routes.ts';

const empty = overviewOfResources({ schedules: [], backups: [], restores: [] }, NOW);

/** A page whose state takes `costMs` to compute. */
function source(costMs: number) {
  let nowMs = 0;
  let computed = 0;
  let answer: () => Overview | undefined = () => empty;
  const routes = pageRoutes({
    subject: 'Backups',
    overview: async () => {
      computed += 1;
      nowMs += costMs;
      return answer();
    },
    monotonic: () => nowMs,
  });
  return {
    get: async (path = '/') => routes[path]!(new URL(`http://x${path}`)),
    after: (ms: number) => {
      nowMs += ms;
    },
    answerWith: (next: typeof answer) => {
      answer = next;
    },
    computed: () => computed,
  };
}

test('the state is computed once for all who ask within two seconds', async () => {
  const page = source(1);
  await Promise.all([page.get(), page.get('/status.json'), page.get()]);
  page.after(1_900);
  await page.get();
  expect(page.computed()).toBe(1);
  page.after(200);
  await page.get();
  expect(page.computed()).toBe(2);
});

test('what takes long is computed rarely', async () => {
  const page = source(1_000);
  await page.get();
  page.after(9_000);
  await page.get();
  expect(page.computed()).toBe(1);
  page.after(2_000);
  await page.get();
  expect(page.computed()).toBe(2);
});

test('what is not known yet is asked for again', async () => {
  const page = source(1);
  page.answerWith(() => undefined);
  expect((await page.get()).status).toBe(503);
  expect((await page.get('/status.json')).status).toBe(503);
  page.answerWith(() => empty);
  expect((await page.get()).status).toBe(200);
});

test('a failure is not remembered', async () => {
  const page = source(1);
  page.answerWith(() => {
    throw new Error('broken');
  });
  await expect(page.get()).rejects.toThrow('broken');
  page.answerWith(() => empty);
  expect((await page.get()).status).toBe(200);
});
