import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IndexedObjects } from './indexed-objects.ts';
import { type KubeObject, keyOf } from './object.ts';

interface Item extends KubeObject {
  owners: string[];
}

const item = (name: string, owners: string[]): Item => ({
  metadata: { name, namespace: 'n', uid: name, resourceVersion: '1', creationTimestamp: '' },
  owners,
});

describe('IndexedObjects', () => {
  it('finds objects by key and by index, and forgets the old place of what moved', () => {
    const store = new IndexedObjects<Item>({ owner: ({ owners }) => owners });
    expect(store.set(item('a', ['x', 'y']))).toBeUndefined();
    store.set(item('b', ['x']));
    expect(store.byIndex('owner', 'x').map(keyOf)).toEqual(['n/a', 'n/b']);
    expect(store.set(item('a', ['z']))?.owners).toEqual(['x', 'y']);
    expect(store.byIndex('owner', 'x').map(keyOf)).toEqual(['n/b']);
    expect(store.byIndex('owner', 'y')).toEqual([]);
    expect(store.delete('n/a')?.owners).toEqual(['z']);
    expect(store.get('n/a')).toBeUndefined();
    expect(store.byIndex('owner', 'z')).toEqual([]);
    expect(() => store.byIndex('onwer', 'z')).toThrow('no index onwer');
  });

  it('gives back what it keeps as text as if it did not', () => {
    const packed: string[] = [];
    const store = new IndexedObjects<Item>(
      { owner: ({ owners }) => owners },
      {
        pack(object) {
          if (object.owners.length > 1) return object;
          const text = JSON.stringify(object);
          packed.push(text);
          return text;
        },
        unpack: (text) => JSON.parse(text) as Item,
      },
    );
    const [rare, often] = [item('rare', ['x']), item('often', ['x', 'y'])];
    store.set(rare);
    store.set(often);
    expect(packed).toHaveLength(1);
    expect(store.get('n/rare')).toEqual(rare);
    expect(store.get('n/often')).toBe(often);
    expect(store.list()).toEqual([rare, often]);
    expect(store.byIndex('owner', 'x')).toEqual([rare, often]);
    expect(store.set(item('rare', []))).toEqual(rare);
    expect(store.byIndex('owner', 'x')).toEqual([often]);
    expect(store.delete('n/rare')).toEqual(item('rare', []));
    expect(store.size).toBe(1);
  });

  it('answers every index as a scan of all objects would, after any operations', () => {
    const name = fc.constantFrom('a', 'b', 'c', 'd');
    const step = fc.record({
      name,
      owners: fc.uniqueArray(fc.constantFrom('x', 'y', 'z')),
      gone: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const store = new IndexedObjects<Item>({ owner: ({ owners }) => owners });
        const model = new Map<string, Item>();
        for (const { name, owners, gone } of steps) {
          if (gone) {
            store.delete(`n/${name}`);
            model.delete(`n/${name}`);
          } else {
            store.set(item(name, owners));
            model.set(`n/${name}`, item(name, owners));
          }
        }
        expect(store.size).toBe(model.size);
        for (const owner of ['x', 'y', 'z']) {
          const expected = [...model.values()].filter(({ owners }) => owners.includes(owner)).map(keyOf);
          expect(store.byIndex('owner', owner).map(keyOf).sort()).toEqual(expected.sort());
        }
      }),
    );
  });
});
