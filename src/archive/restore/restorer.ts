import fs from 'node:fs';
import path from 'node:path';
import { hasCapability } from '../../posix/capabilities.ts';
import { SETGID } from './entry-gate.ts';
import type { Restorer } from './foreseen-losses.ts';
import type { Place } from './place.ts';

/** This process, restoring to a place. */
export function restorer(place: Place): Restorer {
  const directory = fs.statSync(path.dirname(place.state));
  return {
    // All of these: what has been given to another user still gets its mode and attributes.
    setsOwners: hasCapability('CHOWN') && hasCapability('FOWNER') && hasCapability('DAC_OVERRIDE'),
    setsCapabilities: hasCapability('SETFCAP'),
    setsSystemXattrs: hasCapability('SYS_ADMIN'),
    uid: process.geteuid?.() ?? 0,
    // New files take over the group of a directory with the setgid bit, such as a volume with fsGroup has.
    gid: directory.mode & SETGID ? directory.gid : (process.getegid?.() ?? 0),
  };
}
