import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConcurrencyLimiter } from './concurrency-limiter.ts';

describe('the cap on concurrent runs', () => {
  it('never runs more than it may and serves everyone, namespaces in turn', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 3 }),
        fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 60 }),
        (total, perNamespace, namespaces) => {
          const granted: string[] = [];
          const limiter = new ConcurrencyLimiter({ total, perNamespace }, (key) => granted.push(key));
          const keys = namespaces.map((namespace, index) => ({
            namespace: `ns${namespace}`,
            key: `ns${namespace}/${index}`,
          }));
          for (const { key, namespace } of keys)
            if (limiter.request(key, namespace).granted) granted.push(key);
          const served = new Set<string>();
          while (granted.length > 0) {
            expect(granted.length).toBeLessThanOrEqual(total);
            const perNs = Map.groupBy(granted, (key) => key.split('/')[0]);
            for (const list of perNs.values()) expect(list.length).toBeLessThanOrEqual(perNamespace);
            const done = granted.shift()!;
            served.add(done);
            limiter.release(done, done.split('/')[0]!);
          }
          expect(served.size).toBe(keys.length);
          expect([limiter.running, limiter.waiting]).toEqual([0, 0]);
        },
      ),
    );
  });

  it('alternates between namespaces', () => {
    const granted: string[] = [];
    const limiter = new ConcurrencyLimiter({ total: 1, perNamespace: 1 }, (key) => granted.push(key));
    limiter.hold('x/0', 'x');
    for (const key of ['a/1', 'a/2', 'b/1']) limiter.request(key, key.split('/')[0]!);
    limiter.release('x/0', 'x');
    limiter.release('a/1', 'a');
    limiter.release('b/1', 'b');
    expect(granted).toEqual(['a/1', 'b/1', 'a/2']);
  });
});
