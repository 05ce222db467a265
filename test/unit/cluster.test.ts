import { describe, expect, it } from 'vitest';
import { componentsOf, specOf } from '../cluster/components.ts';
import {
  cacheRoot,
  checkName,
  chooseSlot,
  layoutOf,
  preferredSlot,
  SLOTS,
  stateRoot,
} from '../cluster/layout.ts';

const layout = (name: string, slot = preferredSlot(name)) => layoutOf(name, slot, 'full', '/state');

describe('checkName', () => {
  it.each(['km', 'a', 'km-2', 'ci-12345678901234567'])('takes %j', (name) => {
    expect(() => checkName(name)).not.toThrow();
  });
  it.each(['', 'Km', '2km', 'km-', 'km_1', '../km', 'a/b', 'km km', 'a'.repeat(21)])('refuses %j', (name) => {
    expect(() => checkName(name)).toThrow(/cluster name/);
  });
});

describe('chooseSlot', () => {
  it('gives the default name slot 0 and keeps it from hashed names', () => {
    expect(preferredSlot('km')).toBe(0);
    for (let i = 0; i < 2000; i++) expect(preferredSlot(`n${i}`)).toBeGreaterThan(0);
  });
  it('moves on, around the end too, when the preferred slot is taken', () => {
    const last = Array.from({ length: 5000 }, (_, i) => `n${i}`).find(
      (name) => preferredSlot(name) === SLOTS - 1,
    )!;
    expect(chooseSlot(last, new Set())).toBe(SLOTS - 1);
    expect(chooseSlot(last, new Set([SLOTS - 1]))).toBe(0);
    expect(chooseSlot(last, new Set([SLOTS - 1, 0]))).toBe(1);
  });
  it('says so when all slots are taken', () => {
    const all = new Set(Array.from({ length: SLOTS }, (_, i) => i));
    expect(() => chooseSlot('km', all)).toThrow(/slots .* taken/);
  });
});

describe('layoutOf', () => {
  it('gives any two slots disjoint ports, addresses and interface names', () => {
    const seen = new Set<string>();
    for (let slot = 0; slot < SLOTS; slot++) {
      const { ports, addresses, hostLink } = layout(`n${slot}`, slot);
      const own = [
        ...Object.values(ports).map(String),
        ...[addresses.apiServer, addresses.node, addresses.podCidr, addresses.serviceCidr, hostLink],
      ];
      for (const value of own) {
        expect(seen.has(value), value).toBe(false);
        seen.add(value);
      }
      expect(hostLink.length).toBeLessThanOrEqual(15);
      // Below the ephemeral ports of Linux.
      expect(Math.max(...Object.values(ports))).toBeLessThan(32_768);
    }
  });
  it('keeps two names of the same slot apart in files and cgroups', () => {
    const [a, b] = [layout('a', 3), layout('b', 3)];
    expect(a.stateDir).not.toBe(b.stateDir);
    expect(a.cgroupRoot).not.toBe(b.cgroupRoot);
    expect(a.nodeName).not.toBe(b.nodeName);
  });
  it('lets a control plane without node listen on loopback only', () => {
    expect(layoutOf('km', 0, 'control-plane-only', '/state').serverUrl).toBe('https://127.0.0.1:21002');
  });
  it.each([-1, SLOTS, 1.5])('refuses slot %d', (slot) => {
    expect(() => layout('km', slot)).toThrow(/slot/);
  });
});

describe('specOf', () => {
  it('appends extra arguments last, so that they win', () => {
    const spec = specOf('etcd', layout('km'), new Map([['etcd', '/bin/etcd']]), {
      etcd: ['--log-level=debug'],
    });
    expect(spec.command).toBe('/bin/etcd');
    expect(spec.args.at(-1)).toBe('--log-level=debug');
  });
  it('runs no node component in the control-plane-only flavour', () => {
    const small = layoutOf('km', 0, 'control-plane-only', '/state');
    expect(componentsOf(small).some((component) => specOf(component, small, new Map()).onNode)).toBe(false);
    expect(componentsOf(layout('km'))).toContain('kubelet');
  });
});

describe('folders', () => {
  it.each([
    [{}, '/home/u/.cache/km-backup-operator'],
    [{ XDG_CACHE_HOME: '/c' }, '/c/km-backup-operator'],
    [{ XDG_CACHE_HOME: '/c', KM_CACHE_DIR: '/k' }, '/k'],
    [{ KM_CACHE_DIR: '' }, '/home/u/.cache/km-backup-operator'],
  ])('cache with %j', (env, expected) => {
    expect(cacheRoot(env, '/home/u')).toBe(expected);
  });
  it('state', () => {
    expect(stateRoot({}, '/home/u')).toBe('/home/u/.local/state/km-backup-operator/clusters');
    expect(stateRoot({ XDG_STATE_HOME: '/s' }, '/home/u')).toBe('/s/km-backup-operator/clusters');
  });
});
