/** Every command of the plugin on objects that our CRDs would refuse: of older or later versions, or of nobody's. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectPlain, kubectlKm } from '../support/kubectl-km.ts';

const NAMESPACE = 'team';
const HOSTILE = 'bad \u001b[2J\u202ename\nof\u0007 a file';
const JUNK = [null, 5, '', 'text', [], [null], {}, { later: null }] as const;

/** What stands in the spec and status, by the name of the object. */
const BODIES: Readonly<Record<string, { readonly spec?: unknown; readonly status?: unknown }>> = {
  nothing: {},
  nulls: { spec: null, status: null },
  'empty-spec': { spec: {}, status: {} },
  'text-spec': { spec: 'text', status: 'text' },
  'null-fields': {
    spec: {
      source: null,
      destination: null,
      target: null,
      copies: null,
      drill: null,
      cron: null,
      retention: null,
    },
    status: { conditions: null, lastBackup: null, archives: null, copies: null, active: null, plan: null },
  },
  'empty-fields': {
    spec: { source: {}, destination: {}, target: {}, copies: [{}], drill: {}, scheduleName: '' },
    status: {
      conditions: [{}],
      lastBackup: {},
      archives: {},
      copies: [{}],
      drill: {},
      resolved: {},
      plan: {},
    },
  },
  'later-version': {
    spec: { source: { snapshotClass: 'x' }, target: { elsewhere: {} }, cron: '@every 1h', timeZone: 'AST' },
    status: { phase: 'Dreaming', reason: 'constructor', conditions: [{ type: 'Later', status: 'Maybe' }] },
  },
  hostile: {
    spec: { scheduleName: HOSTILE, cron: HOSTILE, source: { persistentVolumeClaim: { claimName: HOSTILE } } },
    status: {
      phase: 'Failed',
      reason: HOSTILE,
      message: HOSTILE,
      completionTime: HOSTILE,
      conditions: [{ type: 'Ready', status: 'False', reason: HOSTILE, message: HOSTILE }],
      lastBackup: { name: HOSTILE, phase: 'Failed', message: HOSTILE },
    },
  },
  ...Object.fromEntries(
    JUNK.map((junk, index) => [
      `junk-${index}`,
      {
        spec: { source: junk, target: junk, schedule: junk, copies: [junk], suspend: junk, timeZone: junk },
        status: {
          conditions: [junk],
          phase: junk,
          archive: junk,
          lastBackup: junk,
          oldState: junk,
          runs: junk,
        },
      },
    ]),
  ),
};
const NAMES = Object.keys(BODIES);

const KINDS: Readonly<Record<string, string>> = {
  kmbackupschedules: 'KmBackupSchedule',
  kmbackups: 'KmBackup',
  kmrestores: 'KmRestore',
  kmbackuplocations: 'KmBackupLocation',
};

const objectOf = (kind: string, name: string, prefix = '') => ({
  apiVersion: 'km.duskmantle.io/v1alpha1',
  kind,
  metadata: {
    name: `${prefix}${name}`,
    namespace: NAMESPACE,
    uid: `${kind}-${name}`,
    resourceVersion: '1',
    creationTimestamp: '2026-01-01T00:00:00Z',
  },
  ...BODIES[name],
});

/** Answers as an API server whose CRDs have no schema, and that lets nobody write. */
function answer(method: string, path: string): { status: number; body: object } {
  if (method !== 'GET')
    return { status: 403, body: { kind: 'Status', code: 403, reason: 'Forbidden', message: 'only reading' } };
  const [, plural = '', name] = /\/(km[a-z]+)(?:\/([^/]+))?$/.exec(path) ?? [];
  const kind = KINDS[plural];
  if (kind === undefined) return { status: 200, body: { metadata: { resourceVersion: '1' }, items: [] } };
  if (name === undefined)
    return {
      status: 200,
      body: { metadata: { resourceVersion: '1' }, items: NAMES.map((one) => objectOf(kind, one)) },
    };
  if (Object.hasOwn(BODIES, name)) return { status: 200, body: objectOf(kind, name) };
  return { status: 404, body: { kind: 'Status', code: 404, reason: 'NotFound', message: 'not found' } };
}

let server: Server;
let folder: string;
const kubeconfig = () => join(folder, 'config');

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'km-sparse-'));
  server = createServer((request, response) => {
    const { status, body } = answer(request.method!, decodeURIComponent(request.url!.replace(/\?.*/, '')));
    response.statusCode = status;
    response.end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const config = {
    'current-context': 'x',
    contexts: [{ name: 'x', context: { cluster: 'x', user: 'x', namespace: NAMESPACE } }],
    clusters: [{ name: 'x', cluster: { server: `http://127.0.0.1:${port}` } }],
    users: [{ name: 'x', user: { token: 'x' } }],
  };
  writeFileSync(kubeconfig(), JSON.stringify(config));
});

afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

const WHOLE = ['status', 'status -A -o wide', 'status -o yaml', 'list', 'list -o wide', 'coverage', 'doctor'];
const OF_ONE = [
  'why',
  'list',
  'logs',
  'ls',
  'cat',
  'restore --plan',
  'drill',
  'suspend',
  'run',
  'diff',
  'approve',
];

describe('objects that no CRD of ours would let through', () => {
  it.each([...WHOLE, 'status -o json', 'list -o json', 'coverage -o json'])('%s', async (command) => {
    const ended = await kubectlKm(command.split(' '), { kubeconfig: kubeconfig() });
    expectPlain(ended);
    expect(ended.stdout).not.toMatch(/undefined|NaN|\[object/);
    if (command.endsWith('json')) JSON.parse(ended.stdout);
    if (command.startsWith('status')) for (const name of NAMES) expect(ended.stdout).toContain(name);
  });

  it.each(NAMES)('the commands on one object: %s', async (name) => {
    const lines = OF_ONE.map((command) => [
      ...command.split(' '),
      name,
      ...(command === 'cat' ? ['path'] : []),
    ]);
    const ended = await Promise.all(
      lines.map(async (line) => ({ line, ...(await kubectlKm(line, { kubeconfig: kubeconfig() })) })),
    );
    for (const { line, ...one } of ended) {
      expectPlain(one);
      expect(`${line}: ${one.stdout}${one.stderr}`).not.toMatch(/undefined|NaN|\[object/);
    }
  });
});
