import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import type { KubeObject } from './object.ts';
import { type Change, Store } from './store.ts';

interface Item extends KubeObject {
  text?: string;
}

const item = (name: string, version: number, uid = `${name}-1`, text = ''): Item => ({
  metadata: { name, namespace: 'n', uid, resourceVersion: `${version}`, creationTimestamp: '' },
  text,
});

let changes: string[];
let store: Store<Item>;
const version = (name = 'a') => store.get(`n/${name}`)?.metadata.resourceVersion;

beforeEach(() => {
  changes = [];
  store = new Store<Item>({
    onChange: ({ type, object }: Change<Item>) =>
      changes.push(`${type} ${object.metadata.uid} ${object.metadata.resourceVersion}`),
  });
});

/** A list that names these objects, with something done before it ends. */
function list(objects: readonly Item[], meanwhile = () => {}): void {
  const intake = store.beginList(undefined);
  for (const object of objects) intake.put(object);
  meanwhile();
  intake.complete();
  intake.end();
}

describe('what this process wrote', () => {
  it('is there at once, and reported once: the watch brings nothing new', () => {
    store.put(item('a', 5));
    store.wrote(item('a', 8));
    store.put(item('a', 8));
    store.wrote(item('b', 9));
    store.put(item('b', 9));
    expect([version(), version('b')]).toEqual(['8', '9']);
    expect(changes).toEqual(['added a-1 5', 'updated a-1 8', 'added b-1 9']);
  });

  it('is not replaced by what the watch brings from before, nor by an answer that arrives late', () => {
    store.wrote(item('a', 10));
    store.put(item('a', 9));
    store.wrote(item('a', 8));
    expect(version()).toBe('10');
    store.put(item('a', 100));
    expect(version()).toBe('100');
    expect(changes).toEqual(['added a-1 10', 'updated a-1 100']);
  });

  it('is not deleted with an earlier object of the same name', () => {
    store.put(item('a', 5));
    store.wrote(item('a', 20, 'a-2'));
    store.remove(item('a', 15));
    store.put(item('a', 14));
    expect(store.get('n/a')?.metadata.uid).toBe('a-2');
    expect(changes).toEqual(['added a-1 5', 'deleted a-1 5', 'added a-2 20']);
  });

  it('stays away when it is gone by the time the answer arrives', () => {
    store.put(item('a', 5));
    store.remove(item('a', 7));
    store.wrote(item('a', 6));
    list([]);
    store.wrote(item('b', 6));
    list([]);
    store.wrote(item('b', 7));
    expect(store.size).toBe(0);
  });

  it('outlives a list that began before it', () => {
    store.put(item('a', 5));
    list([item('a', 5)], () => {
      store.wrote(item('a', 9));
      store.wrote(item('b', 8));
    });
    expect([version(), version('b')]).toEqual(['9', '8']);
  });

  it('is reported to listeners that wait for the watch to bring it', () => {
    const told: string[] = [];
    const end = store.onWrite(({ name }) => told.push(name));
    store.wrote(item('a', 1));
    store.wroteDeletion(item('a', 1).metadata, '2026-03-01T00:00:00Z');
    end();
    store.wrote(item('b', 2));
    expect(told).toEqual(['a', 'a']);
  });
});

describe('a deletion by this process', () => {
  const deletedAt = () => store.get('n/a')?.metadata.deletionTimestamp;
  beforeEach(() => {
    store.put(item('a', 5));
    store.wroteDeletion(item('a', 5).metadata, '2026-03-01T00:00:00Z');
  });

  it('marks the object until the watch confirms it, whatever was on its way before', () => {
    store.put(item('a', 4));
    store.put(item('a', 5));
    list([item('a', 5)]);
    expect(deletedAt()).toBe('2026-03-01T00:00:00Z');
    store.remove(item('a', 6));
    expect(store.get('n/a')).toBeUndefined();
  });

  it('gives way to what the API server holds since', () => {
    const finalizing = item('a', 7);
    finalizing.metadata.deletionTimestamp = '2026-03-01T00:00:01Z';
    store.put(finalizing);
    expect(deletedAt()).toBe('2026-03-01T00:00:01Z');
    store.put(item('a', 9, 'a-2'));
    expect(deletedAt()).toBeUndefined();
  });

  it('leaves alone an object that is not the one deleted', () => {
    store.put(item('b', 6));
    store.wroteDeletion(item('b', 5).metadata, '2026-03-01T00:00:00Z');
    store.wroteDeletion({ ...item('b', 6).metadata, uid: 'b-0' }, '2026-03-01T00:00:00Z');
    expect(store.get('n/b')?.metadata.deletionTimestamp).toBeUndefined();
  });
});

describe('a list', () => {
  it('is the truth about what was there when it began, also after etcd was restored from a backup', () => {
    store.put(item('a', 900));
    store.put(item('b', 901));
    list([item('a', 7)]);
    expect(version()).toBe('7');
    expect(version('b')).toBeUndefined();
    store.put(item('a', 8));
    expect(version()).toBe('8');
  });

  it('that breaks off removes nothing', () => {
    store.put(item('a', 1));
    store.beginList(undefined).end();
    expect(version()).toBe('1');
  });

  it('removes all that is gone, even if a handler throws', () => {
    const failing = new Store<Item>({
      onChange: ({ type }) => {
        if (type === 'deleted') throw new Error('thrown by a handler');
      },
    });
    failing.put(item('a', 1));
    failing.put(item('b', 1));
    const intake = failing.beginList(undefined);
    expect(() => intake.complete()).toThrow('thrown by a handler');
    expect(failing.size).toBe(0);
  });
});

/** One object's life as the API server keeps it: each state has a version. */
it('ends equal to the API server, and never goes back, however watch and answers interleave', () => {
  const step = fc.record({
    write: fc.constantFrom('update', 'recreate'),
    own: fc.boolean(),
    delay: fc.nat(4),
  });
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 20 }), (steps) => {
      const seen: number[] = [];
      const tested = new Store<Item>({
        onChange: ({ type, object }) => {
          if (type !== 'deleted') seen.push(Number(object.metadata.resourceVersion));
        },
      });
      let current = item('a', 1);
      tested.put(current);
      const watch: (() => void)[] = [];
      let answers: { at: number; take: () => void }[] = [];
      for (const [index, { write, own, delay }] of steps.entries()) {
        const next = item(
          'a',
          10 * (index + 1),
          write === 'recreate' ? `a-${index + 2}` : current.metadata.uid,
        );
        const last = {
          ...current,
          metadata: { ...current.metadata, resourceVersion: `${10 * (index + 1) - 1}` },
        };
        if (write === 'recreate') watch.push(() => tested.remove(last));
        watch.push(() => tested.put(next));
        if (own) answers.push({ at: index + delay, take: () => tested.wrote(next) });
        current = next;
        for (const { take } of answers.filter(({ at }) => at <= index)) take();
        answers = answers.filter(({ at }) => at > index);
        if (delay % 2 === 0) watch.shift()?.();
      }
      for (const tell of watch) tell();
      for (const { take } of answers) take();
      expect(tested.list()).toEqual([current]);
      expect(seen).toEqual([...seen].sort((a, b) => a - b));
    }),
  );
});
