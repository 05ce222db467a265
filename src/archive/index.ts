/** The only door of the archive room: other rooms import nothing else from it. */

export type { PackTotals } from './create/pack.ts';
export { compilePatterns } from './create/patterns.ts';
export { type Run, type RunOptions, runBackup } from './create/run-backup.ts';
export { SourceRoot } from './create/source-root.ts';
export { ensureDirectoryInVolume } from './create/volume.ts';
export { ensureDirectory } from './destination/directory.ts';
export { type ArchiveInfo, listArchives } from './destination/inventory.ts';
export { lockDestination } from './destination/lock.ts';
export { type PruneOutcome, pruneUnderLock } from './destination/prune.ts';
export { approveArchive, suspicionOf } from './destination/suspicions.ts';
export type { Aspect } from './diff/compare.ts';
export {
  type Change,
  type ChangeTotals,
  type Difference,
  type DiffOptions,
  type DiffTotals,
  diffArchives,
} from './diff/diff.ts';
export { type HistoryArchive, type HistoryOptions, historyOf, type Version } from './diff/history.ts';
export { ArchiveError, ExitCode, readError, writeError } from './errors.ts';
export { display, toText } from './format/byte-string.ts';
export { levels } from './format/compress.ts';
export type { Entry, EntryType } from './format/entry.ts';
export { encodeEntry } from './format/entry-line.ts';
export type { Member, Summary } from './format/manifest.ts';
export { joinManifest, type ManifestPiece, manifestPieces } from './format/manifest-pieces.ts';
export { readMemberLines, readSummary } from './format/manifest-reader.ts';
export {
  encodeTable,
  type ManifestTable,
  PieceRows,
  type PlacedPiece,
  parseTable,
  piecesAbout,
  tailOf,
} from './format/manifest-table.ts';
export { manifestFrame, manifestTail, type Sink } from './format/manifest-writer.ts';
export { readCompressedMember } from './format/members.ts';
export { type Compression, isManagedName } from './format/names.ts';
export {
  encodeSuspicion,
  isUnapproved,
  parseSuspicion,
  type Suspicion,
  unreadableSuspicion,
} from './format/suspicion.ts';
export { guardWith } from './guard/guard.ts';
export type { GuardLimits } from './guard/rules.ts';
export { type CatOptions, catEntry } from './restore/cat.ts';
export { ContentCheckError, type WantedCheck } from './restore/content-checks.ts';
export { type ExtractProgress, extractEntries, membersOfPaths } from './restore/extract.ts';
export { chosenPath } from './restore/extract-plan.ts';
export { commitRestore, discardRestore, resumeRestore, rollbackRestore } from './restore/finish.ts';
export { type LastRestore, lastRestore } from './restore/last-restore.ts';
export { listEntries } from './restore/list-entries.ts';
export { membersNeeded } from './restore/members-needed.ts';
export { digestOf } from './restore/pinned-archive.ts';
export { checkPlan, type PlanReport, planRestore } from './restore/plan-restore.ts';
export type { RestoreProgress } from './restore/progress.ts';
export { restore } from './restore/restore.ts';
export type { RestoreOptions, RestoreReport } from './restore/restore-options.ts';
export type { ReuseWish } from './restore/reuse-choice.ts';
export { restoreStatus } from './restore/status.ts';
export {
  type Verification,
  type VerificationState,
  type VerifiedAgainst,
  verifyArchive,
} from './verify/verify.ts';
