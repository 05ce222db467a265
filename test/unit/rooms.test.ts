import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { IMPURE_MODULES, importFault, ROOMS, roomOf } from '../../scripts/rooms.ts';

const SRC = path.join(import.meta.dirname, '../../src');

interface Source {
  readonly text: string;
  /** Files of src/ that it imports, types included. */
  readonly files: readonly string[];
  /** Packages and modules of Node.js. */
  readonly packages: readonly string[];
}

function sources(): Map<string, Source> {
  const names = fs
    .readdirSync(SRC, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts') && !name.includes('/testing/'));
  return new Map(
    names.map((name) => {
      const text = fs.readFileSync(path.join(SRC, name), 'utf8');
      const specifiers = [
        ...text.matchAll(/^(?:import|export|\}).* from '([^']+)'|\bimport\(\s*'([^']+)'/gm),
      ].map(([, fixed, lazy]) => (fixed ?? lazy)!);
      return [
        name,
        {
          text,
          files: specifiers
            .filter((specifier) => specifier.startsWith('.') && specifier.endsWith('.ts'))
            .map((specifier) => path.join(path.dirname(name), specifier)),
          packages: specifiers.filter((specifier) => !specifier.startsWith('.')),
        },
      ];
    }),
  );
}

const all = sources();

test('imports follow the table of scripts/rooms.ts', () => {
  const faults = [...all].flatMap(([name, { files }]) =>
    files.flatMap((file) => importFault(name, file) ?? []),
  );
  expect(faults).toEqual([]);
});

test('every room has files, and imports only rooms above it in the table', () => {
  const names = [...all.keys()];
  for (const [index, room] of ROOMS.entries()) {
    expect(
      names.some((name) => roomOf(name) === room),
      `${room.path} is empty`,
    ).toBe(true);
    const above = new Set(ROOMS.slice(0, index).map((other) => other.path));
    const below = room.imports.filter((other) => !other.endsWith('.ts') && !above.has(other));
    expect(below, `imports of ${room.path}`).toEqual([]);
  }
});

test('packages follow the table', () => {
  const faults = [...all].flatMap(([name, { packages }]) => {
    const room = roomOf(name);
    return packages
      .filter((each) => !each.startsWith('node:') && !room?.packages?.includes(each))
      .map((each) => `${name} imports ${each}`);
  });
  expect(faults).toEqual([]);
});

test('pure rooms do no I/O and read no clock', () => {
  const impure = new Set<string>(IMPURE_MODULES);
  const faults = [...all]
    .filter(([name]) => roomOf(name)?.pure)
    .flatMap(([name, { text, packages }]) => [
      ...packages
        .filter((each) => impure.has(each) || impure.has(each.replace(/\/.*/, '/*')))
        .map((each) => `${name} imports ${each}`),
      ...[...text.matchAll(/\bDate\.now\(|\bnew Date\(\)|\bsetTimeout\(|\bMath\.random\(/g)].map(
        ([call]) => `${name} calls ${call}`,
      ),
    ]);
  expect(faults).toEqual([]);
});

/** Groups of files that import one another (Tarjan's strongly connected components). */
function circles(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const found: string[][] = [];
  const order = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const visit = (name: string): void => {
    order.set(name, order.size);
    low.set(name, order.get(name)!);
    stack.push(name);
    for (const next of graph.get(name) ?? []) {
      if (!order.has(next)) visit(next);
      if (stack.includes(next)) low.set(name, Math.min(low.get(name)!, low.get(next)!));
    }
    if (low.get(name) !== order.get(name)) return;
    const circle = stack.splice(stack.indexOf(name));
    if (circle.length > 1 || graph.get(name)?.includes(name)) found.push(circle.sort());
  };
  for (const name of graph.keys()) if (!order.has(name)) visit(name);
  return found;
}

describe('circles', () => {
  test('no files of src/ import one another, not even for types', () => {
    const found = circles(new Map([...all].map(([name, { files }]) => [name, files])));
    expect(found).toEqual([]);
  });

  test('are found', () => {
    const graph = new Map(
      Object.entries({ a: ['b'], b: ['c', 'd'], c: ['a'], d: ['e'], e: [], f: ['f'], g: ['a'] }),
    );
    expect(circles(graph)).toEqual([['a', 'b', 'c'], ['f']]);
  });
});

test.each([
  ['cli/x.ts', 'archive/create/pack.ts', 'other rooms import archive/index.ts only'],
  ['archive/create/x.ts', 'archive/index.ts', 'archive/create/ may not import archive/'],
  ['archive/create/x.ts', 'archive/verify/verify.ts', 'archive/create/ may not import archive/verify/'],
  ['archive/format/x.ts', 'archive/pool/x.ts', 'archive/format/ may not import archive/pool/'],
  ['kube/x.ts', 'api/names.ts', 'kube/ may not import api/'],
  ['somewhere/x.ts', 'api/names.ts', 'somewhere/x.ts belongs to no room'],
  ['archive/create/x.ts', 'archive/verify/jobs.ts', undefined],
  ['archive/format/x.ts', 'archive/errors.ts', undefined],
  ['standalone/x.ts', 'archive/index.ts', undefined],
  ['api/x.ts', 'api/y.ts', undefined],
])('%s importing %s: %s', (from, to, fault) => {
  const found = importFault(from, to);
  if (fault === undefined) expect(found).toBeUndefined();
  else expect(found).toContain(fault);
});
