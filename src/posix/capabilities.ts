import fs from 'node:fs';

/** Bit numbers of linux/capability.h. */
const bits = { CHOWN: 0, DAC_OVERRIDE: 1, FOWNER: 3, FSETID: 4, SYS_ADMIN: 21, SETFCAP: 31 } as const;
export type Capability = keyof typeof bits;

let effective: bigint | undefined;

/** Whether this process holds a capability. Root of a container often lacks some, so the user id alone says little. */
export function hasCapability(name: Capability): boolean {
  effective ??= effectiveSet();
  return (effective & (1n << BigInt(bits[name]))) !== 0n;
}

function effectiveSet(): bigint {
  let status = '';
  try {
    status = fs.readFileSync('/proc/self/status', 'latin1');
  } catch {
    // Without /proc only the user id is left to judge by.
  }
  const hex = /^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1];
  if (hex !== undefined) return BigInt(`0x${hex}`);
  return process.geteuid?.() === 0 ? ~0n : 0n;
}
