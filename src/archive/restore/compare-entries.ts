import { type ByteString, fromText } from '../format/byte-string.ts';
import { parseCheckedLines } from '../format/entry-line.ts';
import { type Difference, differences } from './compare-entry.ts';
import { isSkipped, type RestorePolicy, withoutPrivileges } from './entry-gate.ts';
import { LiveTree } from './live-tree.ts';

/** Entries to compare with their records. */
export interface CompareJob {
  readonly root: string;
  /** Lines of the manifest, which were checked when it was validated: one string for each member. */
  readonly lines: readonly string[];
  /** Left out of the restore, though `isSkipped` does not say so. */
  readonly leftOut: ReadonlySet<ByteString>;
  readonly policy: RestorePolicy;
}

export interface Compared {
  readonly path: ByteString;
  /** Undefined: it is missing. */
  readonly found: readonly Difference[] | undefined;
}

/** @returns Those that are not as recorded. */
export function compareEntries({ root, lines, leftOut, policy }: CompareJob): Compared[] {
  using tree = new LiveTree(fromText(root));
  const compared: Compared[] = [];
  for (const given of lines.flatMap(parseCheckedLines)) {
    const { path } = given;
    if (isSkipped(given) || leftOut.has(path)) continue;
    const staged = tree.at(path);
    const found = staged && differences(withoutPrivileges(given, policy), staged);
    if (found?.length !== 0) compared.push({ path, found });
  }
  return compared;
}
