/** What a drill is for: a time of its cron, or the archive that completed the number. Its name follows from it. */
import { ANNOTATIONS } from '../../api/names.ts';
import type { KmRestore } from '../../api/restore.ts';
import { fromTime, toTime } from '../time.ts';

export type DrillKey =
  | { readonly kind: 'time'; readonly atMs: number }
  /** The ordinal number of the archive among the complete ones of its schedule. */
  | { readonly kind: 'archives'; readonly count: number };

export const keyText = (key: DrillKey): string =>
  key.kind === 'time' ? toTime(key.atMs) : String(key.count);

/** Undefined for a restore that is not a drill. */
export function keyOfDrill({ metadata }: KmRestore): DrillKey | undefined {
  const text = metadata.annotations?.[ANNOTATIONS.drill];
  if (text === undefined) return undefined;
  if (/^\d{1,15}$/.test(text)) return { kind: 'archives', count: Number(text) };
  const atMs = fromTime(text);
  return Number.isNaN(atMs) ? undefined : { kind: 'time', atMs };
}
