/** The record that an archive is suspicious, and of its approval: a small JSON file next to the archive. */
import { isRecord } from './manifest-checks.ts';

/** `compression`: content that used to compress no longer does. */
export type SuspicionRule = 'shrink' | 'change' | 'compression';

export interface Suspicion {
  readonly version: 1;
  readonly archive: string;
  /** Digest of the archive that was judged. */
  readonly sha256: string;
  /** Name of the archive that it was compared with. */
  readonly comparedWith: string;
  readonly reasons: readonly { readonly rule: SuspicionRule; readonly message: string }[];
  /** ISO 8601. Absent: nobody approved the archive, and nothing of its series is removed. */
  readonly approvedAt?: string;
}

export function encodeSuspicion(suspicion: Suspicion): string {
  return `${JSON.stringify(suspicion, undefined, 2)}\n`;
}

/** @returns Undefined when the text is not such a record. By hand, as in `parseEntryLine`. */
export function parseSuspicion(text: string): Suspicion | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const isText = (field: unknown) => typeof field === 'string';
  const isSound =
    isRecord(value) &&
    value['version'] === 1 &&
    [value['archive'], value['sha256'], value['comparedWith']].every(isText) &&
    Array.isArray(value['reasons']) &&
    value['reasons'].length > 0 &&
    value['reasons'].every((each: unknown) => isRecord(each) && isText(each['message'])) &&
    (value['approvedAt'] === undefined || isText(value['approvedAt']));
  return isSound ? (value as unknown as Suspicion) : undefined;
}

/** What a record that cannot be read counts as: removing too little is the safe side. */
export function unreadableSuspicion(archive: string, why: string): Suspicion {
  const message = `the record next to it cannot be read (${why})`;
  return { version: 1, archive, sha256: '', comparedWith: '', reasons: [{ rule: 'change', message }] };
}

export const isUnapproved = (suspicion: Suspicion | undefined): boolean =>
  suspicion !== undefined && suspicion.approvedAt === undefined;
