/** Copies of archives, and the locations that hold them. */
import type { KmBackupSchedule } from '../api/backup-schedule.ts';
import type { ScheduleCopyStatus } from '../api/copy.ts';
import type { KmBackupLocation } from '../api/location.ts';
import { adviceOf } from './advice.ts';
import type { CopyOverview, LocationOverview } from './model.ts';
import { known, timeOf } from './records.ts';

function copyOverview(
  location: string,
  wanted: boolean,
  status: ScheduleCopyStatus | undefined,
): CopyOverview {
  const { phase, reason, message, archive, failures, present } = status ?? {};
  return known({
    location,
    wanted,
    phase: phase ?? 'Pending',
    reason,
    message,
    todo: adviceOf(reason),
    archive,
    lastSuccess: timeOf(status?.lastSuccessfulTime),
    lastFailure: timeOf(status?.lastFailureTime),
    nextAttempt: timeOf(status?.nextAttemptTime),
    failures,
    copies: present && { count: present.count ?? 0, bytes: present.bytes ?? 0 },
  });
}

/** The copies that a schedule asks for, then those in locations that it no longer names; undefined without any. */
export function copiesOf({ spec, status }: KmBackupSchedule): CopyOverview[] | undefined {
  const wanted = (spec.copies ?? []).map(({ locationRef }) => locationRef.name);
  const states = (status?.copies ?? []).filter(({ location }) => location !== undefined);
  const copies = [
    ...wanted.map((name) =>
      copyOverview(
        name,
        true,
        states.find(({ location }) => location === name),
      ),
    ),
    ...states
      .filter(({ location }) => !wanted.includes(location))
      .map((state) => copyOverview(state.location, false, state)),
  ];
  return copies.length > 0 ? copies : undefined;
}

/** A location, as its last check found it. */
export function locationOverview({ metadata, status }: KmBackupLocation): LocationOverview {
  const available = status?.conditions?.find(({ type }) => type === 'Available');
  const { url, usage } = status ?? {};
  return known({
    namespace: metadata.namespace,
    name: metadata.name,
    url,
    available: available?.status === 'True' ? true : available?.status === 'False' ? false : undefined,
    reason: available?.reason,
    message: available?.message,
    todo: available?.status === 'False' ? adviceOf(available.reason, { name: metadata.name }) : undefined,
    lastCheck: timeOf(status?.lastCheckTime),
    lastCopy: timeOf(status?.lastCopyTime),
    copies: usage && { count: usage.archives ?? 0, bytes: usage.bytes ?? 0 },
  });
}
