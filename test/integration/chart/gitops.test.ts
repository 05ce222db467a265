/** The health scripts for Argo CD, run by a real Lua, and the Kustomize base. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { RESOURCES } from '../../../src/api/crd.ts';
import { ensureClients } from '../../cluster/binaries.ts';
import { cacheRoot } from '../../cluster/layout.ts';
import { run } from '../../cluster/process.ts';
import { silent } from '../../cluster/progress.ts';

const DEPLOY = join(import.meta.dirname, '../../../deploy');
const PREFIX = 'resource.customizations.health.km.duskmantle.io_';

let folder: string;
let scripts: Record<string, string>;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'km-lua-'));
  scripts = parse(await readFile(join(DEPLOY, 'gitops/argocd-health.yaml'), 'utf8')).data;
});
afterAll(() => rm(folder, { recursive: true }));

/** A JavaScript value as a Lua literal. */
function literal(value: unknown): string {
  if (Array.isArray(value)) return `{${value.map(literal).join(', ')}}`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  return `{${Object.entries(value)
    .map(([key, inner]) => `[${JSON.stringify(key)}] = ${literal(inner)}`)
    .join(', ')}}`;
}

async function healthOf(kind: string, object: object): Promise<string> {
  const file = join(folder, 'health.lua');
  const script = scripts[PREFIX + kind]!;
  await writeFile(file, `obj = ${literal(object)}\nprint((function()\n${script}\nend)().status)\n`);
  return (await run('lua5.4', [file])).stdout.trim();
}

const conditions = (...states: [type: string, status: string][]) =>
  states.map(([type, status]) => ({ type, status, message: `${type} is ${status}` }));
const schedule = (status: object | undefined, spec: object = {}) => ({
  metadata: { generation: 2 },
  spec,
  ...(status && { status }),
});

describe('the health of resources in Argo CD', () => {
  it('is there for every kind, and for no other', () => {
    expect(Object.keys(scripts).toSorted()).toEqual(RESOURCES.map(({ kind }) => PREFIX + kind).toSorted());
  });

  it.each<[kind: string, object: object, health: string]>([
    ['KmBackupSchedule', schedule(undefined), 'Progressing'],
    [
      'KmBackupSchedule',
      schedule({ observedGeneration: 1, conditions: conditions(['Ready', 'True']) }),
      'Progressing',
    ],
    [
      'KmBackupSchedule',
      schedule({ observedGeneration: 2, conditions: conditions(['Ready', 'True'], ['Healthy', 'Unknown']) }),
      'Healthy',
    ],
    [
      'KmBackupSchedule',
      schedule({ observedGeneration: 2, conditions: conditions(['Ready', 'True'], ['Healthy', 'False']) }),
      'Degraded',
    ],
    [
      'KmBackupSchedule',
      schedule({ observedGeneration: 2, conditions: conditions(['Ready', 'False']) }),
      'Degraded',
    ],
    [
      'KmBackupSchedule',
      schedule({ observedGeneration: 2, conditions: conditions(['Ready', 'True']) }, { suspend: true }),
      'Suspended',
    ],
    ['KmBackup', {}, 'Progressing'],
    ['KmBackup', { status: { phase: 'Running' } }, 'Progressing'],
    ['KmBackup', { status: { phase: 'Succeeded' } }, 'Healthy'],
    ['KmBackup', { status: { phase: 'Skipped' } }, 'Healthy'],
    ['KmBackup', { status: { phase: 'Incomplete' } }, 'Degraded'],
    ['KmBackup', { status: { phase: 'Failed' } }, 'Degraded'],
    ['KmRestore', {}, 'Progressing'],
    ['KmRestore', { status: { phase: 'Verifying' } }, 'Progressing'],
    ['KmRestore', { status: { phase: 'Planned' } }, 'Healthy'],
    ['KmRestore', { status: { phase: 'Succeeded' } }, 'Healthy'],
    ['KmRestore', { status: { phase: 'RolledBack' } }, 'Degraded'],
    ['KmRestore', { status: { phase: 'Failed' } }, 'Degraded'],
    ['KmBackupLocation', {}, 'Progressing'],
    ['KmBackupLocation', { status: { conditions: conditions(['Available', 'Unknown']) } }, 'Progressing'],
    ['KmBackupLocation', { status: { conditions: conditions(['Available', 'True']) } }, 'Healthy'],
    ['KmBackupLocation', { status: { conditions: conditions(['Available', 'False']) } }, 'Degraded'],
  ])('%s %j is %s', async (kind, object, health) => {
    expect(await healthOf(kind, object)).toBe(health);
  });
});

describe('the Kustomize base', () => {
  it('is what install.yaml holds', async () => {
    const { kubectl } = await ensureClients(cacheRoot(process.env, homedir()), silent);
    const { stdout } = await run(kubectl, ['kustomize', DEPLOY]);
    const namesOf = (yaml: string) =>
      parseAllDocuments(yaml)
        .map((document) => document.toJS())
        .map(({ kind, metadata }) => `${kind} ${metadata.name}`)
        .toSorted();
    expect(namesOf(stdout)).toEqual(namesOf(await readFile(join(DEPLOY, 'install.yaml'), 'utf8')));
  });
});
