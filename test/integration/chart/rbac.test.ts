import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { renderChart } from './render.ts';

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
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

it('SECURITY.md lists the rights that the chart gives the operator, and no others', async () => {
  const objects = await renderChart(['rbac.aggregateToUserRoles=false']);
  const rules = objects
    .filter(({ kind }) => kind === 'Role' || kind === 'ClusterRole')
    .flatMap((role) => (role as unknown as { rules: Rule[] }).rules);
  const granted = rules.flatMap(({ resources, verbs, resourceNames }) =>
    resources.flatMap((resource) =>
      verbs.map((verb) => `${verb} ${resource}${resourceNames ? ' by name' : ''}`),
    ),
  );
  expect(documented().toSorted()).toEqual(granted.toSorted());
});
