import { HEALTH_REASONS } from '../api/health-reasons.ts';
import {
  BACKUP_REASONS,
  COPY_REASONS,
  type Explanation,
  LOCATION_REASONS,
  RESTORE_REASONS,
  RUN_REASONS,
  SCHEDULE_REASONS,
} from '../api/reasons.ts';

/** Whose words the advice is in: of the resources, of the command line, or of the `KM_BACKUP_*` variables. */
export type Reader = 'kubectl' | 'shell' | 'environment';

const EXPLANATIONS: ReadonlyMap<string, Explanation> = new Map(
  [
    RUN_REASONS,
    BACKUP_REASONS,
    RESTORE_REASONS,
    SCHEDULE_REASONS,
    LOCATION_REASONS,
    COPY_REASONS,
    HEALTH_REASONS,
  ].flatMap((table) => Object.entries<Explanation>(table)),
);

export const explanationOf = (reason: string | undefined): Explanation | undefined =>
  EXPLANATIONS.get(reason ?? '');

/**
 * What a reader can do about a reason; undefined if there is nothing to do, or if the reason is not ours.
 * @param name Stands in for `NAME`.
 */
export function adviceOf(
  reason: string | undefined,
  { reader = 'kubectl', name }: { reader?: Reader; name?: string } = {},
): string | undefined {
  const explanation = explanationOf(reason);
  const text =
    reader === 'environment' ? (explanation?.environment ?? explanation?.shell) : explanation?.[reader];
  return name === undefined ? text : text?.replaceAll(/\bNAME\b/g, () => name);
}
