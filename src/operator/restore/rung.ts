import type { KmRestore } from '../../api/restore.ts';
import type { Plan } from '../plan.ts';
import type { RestoreJobSettings } from './jobs.ts';
import type { ObservedRestore } from './observed.ts';

/** One thing that must hold before the next is looked at. Undefined: it holds; else what brings it about. */
export type Rung = (
  observed: ObservedRestore,
  settings: RestoreJobSettings,
  nowMs: number,
) => Plan | undefined;

export const inPlace = ({ spec }: KmRestore): boolean => spec.target.persistentVolumeClaim !== undefined;
