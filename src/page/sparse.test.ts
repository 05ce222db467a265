import fc from 'fast-check';
import { expect, test } from 'vitest';
import { whole } from '../api/whole.ts';
import { overviewOfResources } from '../overview/index.ts';
import { claim, NOW } from '../overview/testing/fixtures.ts';
import { pageRoutes } from './routes.ts';

/** Texts that would show through where one is not escaped, or is used as a key. */
const text = fc.constantFrom(
  '<script>x</script>',
  '"><img src=x>',
  'constructor',
  '__proto__',
  '',
  '\u001b[2J',
);
const junk = fc.oneof(text, fc.jsonValue({ maxDepth: 3 }));
const fields = (names: readonly string[]) =>
  fc.oneof(junk, fc.record(Object.fromEntries(names.map((name) => [name, junk])), { requiredKeys: [] }));

const spec = fields([
  'source',
  'destination',
  'target',
  'copies',
  'drill',
  'cron',
  'timeZone',
  'scheduleName',
  'suspend',
]);
const status = fields([
  'conditions',
  'phase',
  'reason',
  'message',
  'archive',
  'lastBackup',
  'copies',
  'drill',
  'runs',
  'oldState',
]);

const object = (kind: string) =>
  fc.record({ spec, status }, { requiredKeys: [] }).map((rest) =>
    whole(kind, {
      metadata: {
        name: 'a',
        namespace: 'team',
        uid: 'u',
        resourceVersion: '1',
        creationTimestamp: '2026-01-01T00:00:00Z',
      },
      ...rest,
    }),
  );

test('the page and its JSON of objects that no CRD of ours would let through', async () => {
  await fc.assert(
    fc.asyncProperty(
      object('KmBackupSchedule'),
      object('KmBackup'),
      object('KmRestore'),
      object('KmBackupLocation'),
      async (schedule, backup, restore, location) => {
        const records = {
          schedules: [schedule],
          backups: [backup],
          restores: [restore],
          locations: [location],
        };
        const overview = overviewOfResources({ ...records, claims: [claim('a')] } as never, NOW);
        const routes = pageRoutes({ subject: 'Backups', overview: () => overview, monotonic: () => 0 });
        const read = async (query: string) => {
          const url = new URL(query, 'http://x');
          const { status: code, body } = await routes[url.pathname]!(url);
          expect(code).toBe(200);
          return typeof body === 'string' ? body : (await Array.fromAsync(body)).join('');
        };
        for (const path of ['/', '/?namespace=team&schedule=a']) {
          // Without its own script, which has these words.
          const page = (await read(path)).replace(/<script>'use strict'[\s\S]*?<\/script>/, '');
          expect(page).not.toMatch(/<script>x|<img|undefined|NaN|\[object/);
        }
        expect(JSON.parse(await read('/status.json'))).toMatchObject({ version: 1 });
      },
    ),
    { numRuns: 200 },
  );
});
