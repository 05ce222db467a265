import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { KubeObject } from '../../support/kubectl.ts';
import { renderChart, renderHooks } from './render.ts';

interface Rule {
  readonly apiGroups: readonly string[];
  /** Absent in the role for those who may read metrics. */
  readonly resources?: readonly string[];
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[];
}

const security = readFileSync(join(import.meta.dirname, '../../../SECURITY.md'), 'utf8');

/** `verb resource` for each right in SECURITY.md's table. */
function documented(): string[] {
  const rows = [...security.matchAll(/^\| (`[^|]+) \| ([^|]+) \|$/gm)];
  return rows.flatMap(([, resources, verbs]) => {
    const scope = /its own one only/.test(resources!) ? ' by name' : '';
    return [...resources!.matchAll(/`([a-z/]+)`/g)].flatMap(([, resource]) =>
      verbs!.split(', ').map((verb) => `${verb} ${resource}${scope}`),
    );
  });
}

/** `verb resource` for each right in the table of the chart's hooks. */
function documentedForHooks(): string[] {
  const rows = [...security.matchAll(/^\| `([a-z]+)`(, by name)? \| ([^|]+) \| [^|]+ \|$/gm)];
  return rows.flatMap(([, resource, named, verbs]) =>
    verbs!.split(', ').map((verb) => `${verb} ${resource}${named ? ' by name' : ''}`),
  );
}

function granted(objects: readonly KubeObject[]): string[] {
  const rules = objects
    .filter(({ kind }) => kind === 'Role' || kind === 'ClusterRole')
    .flatMap((role) => (role as unknown as { rules: Rule[] }).rules);
  return rules.flatMap(({ resources = [], verbs, resourceNames }) =>
    resources.flatMap((resource) =>
      verbs.map((verb) => `${verb} ${resource}${resourceNames ? ' by name' : ''}`),
    ),
  );
}

it('SECURITY.md lists the rights that the chart gives the operator, and no others', async () => {
  const rights = granted(
    await renderChart(['rbac.aggregateToUserRoles=false', 'metrics.secure.enabled=true']),
  );
  expect(documented().toSorted()).toEqual(rights.toSorted());
});

it('SECURITY.md lists the rights of the hooks, and no others', async () => {
  expect(documentedForHooks().toSorted()).toEqual(granted(await renderHooks([])).toSorted());
});
