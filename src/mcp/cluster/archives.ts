/** Tools that read archives where they are, in a short-lived pod: verify, diff and history. */
import { posix } from 'node:path';
import { z } from 'zod';
import type { KmBackup, KmBackupStatus } from '../../api/backup.ts';
import { backupBefore, chosenBackup } from '../../fleet/archives.ts';
import { type Reader, readArchives } from '../../fleet/read-archives.ts';
import {
  DiffChoice,
  Differences,
  differencesOf,
  HistoryChoice,
  Verified,
  Versions,
  verdict,
  versionsOf,
} from '../archive-answers.ts';
import { counted, lines } from '../text.ts';
import { type Call, defineTool, type Tool } from '../tool.ts';
import { type Caller, placeOf } from './caller.ts';
import { diffIn, historyIn, verifyIn } from './in-pod.ts';

const NAME = 'a KmBackup, or a KmBackupSchedule for its newest archive';
const Name = z.string().min(1);
const IN_POD = 'Reads in a short-lived pod, which is removed afterwards, also if the call is cancelled.';

/** Reads the archives of these backups; waiting for the pod is progress too. */
function reading<T>(
  { cluster, image }: Caller,
  backups: readonly KmBackup[],
  { signal, progress }: Call,
  use: (reader: Reader) => Promise<T>,
): Promise<T> {
  let waits = 0;
  const onWait = (message: string) => progress({ done: ++waits, message: lines(message) });
  return readArchives(cluster, backups, { image, signal, onWait }, use);
}

const Result = Verified.extend({ backup: z.string().optional().describe('Name of its KmBackup') });
type Result = z.infer<typeof Result>;

export function verifyTool(caller: Caller): Tool {
  return defineTool({
    name: 'verify',
    title: 'Verify archives',
    description: `Reads archives whole, where they are, and says whether each is sound. Takes as long as reading them. ${IN_POD}`,
    effect: 'reads',
    input: z.strictObject({
      archives: z.array(Name).min(1).max(100).describe(`Names, as in list, each of ${NAME}`),
      all: z
        .boolean()
        .default(false)
        .describe('Also every other archive in the folders of these, with a KmBackup or without'),
      deep: z.boolean().default(false).describe('Also decompress, and compare every header and content'),
    }),
    output: z.object({ sound: z.boolean(), archives: z.array(Result) }),
    run: async ({ archives: names, all, deep }, call) => {
      const chosen = await Promise.all(
        names.map((name) => chosenBackup(caller.cluster, placeOf(caller, name))),
      );
      const results: Result[] = [];
      for (const backups of readTogether(chosen, all)) {
        results.push(
          ...(all
            ? await verifyFolder(caller, backups, deep, call)
            : await verifyBackups(caller, backups, deep, call)),
        );
      }
      const sound = results.every(({ state }) => state === 'sound');
      return {
        data: { sound, archives: results },
        text: lines(
          results.map((one) =>
            verdict(one.backup === undefined ? one.name : `${one.backup} (${one.name})`, one),
          ),
        ),
        failed: !sound,
      };
    },
  });
}

/** Archives of one schedule have one user who may read them; all archives of a folder are read in one go. */
export function readTogether(backups: readonly KmBackup[], all: boolean): KmBackup[][] {
  const distinct = [...new Map(backups.map((backup) => [backup.metadata.name, backup])).values()];
  const groups = Map.groupBy(distinct, ({ spec, status }) =>
    all ? folderOf(status?.archive) : spec.scheduleName,
  );
  return [...groups.values()];
}

const folderOf = (archive: KmBackupStatus['archive']) => JSON.stringify([archive?.claimName, archive?.path]);

function verifyBackups(
  caller: Caller,
  backups: readonly KmBackup[],
  deep: boolean,
  call: Call,
): Promise<Result[]> {
  return reading(caller, backups, call, async ({ run, archives }) => {
    const verified = await verifyIn({ run }, archives, {
      deep,
      onProgress: verifying(call, archives.length),
    });
    return verified.map((one, at) => ({ ...one, backup: backups[at]?.metadata.name }));
  });
}

/** @param backups some that have their archive in the folder */
async function verifyFolder(
  caller: Caller,
  backups: readonly KmBackup[],
  deep: boolean,
  call: Call,
): Promise<Result[]> {
  const { cluster, namespace } = caller;
  const [first] = backups;
  const folder = folderOf(first!.status?.archive);
  const { items } = await cluster.resources.backups.list(namespace);
  const there = items.filter(({ status }) => folderOf(status?.archive) === folder);
  const names = new Map(there.map(({ metadata, status }) => [status?.archive?.name, metadata.name]));
  const verified = await reading(caller, [first!], call, ({ run, archives }) =>
    verifyIn({ run }, ['--all', `--destination=${posix.dirname(archives[0]!)}`], {
      deep,
      onProgress: verifying(call),
    }),
  );
  const seen = new Set(verified.map(({ name }) => name));
  const gone = backups.flatMap(({ status }) => status?.archive?.name ?? []).filter((name) => !seen.has(name));
  return [...verified, ...gone.map(missing)].map((one) => ({ ...one, backup: names.get(one.name) }));
}

const missing = (name: string): Verified => ({
  name,
  state: 'missing',
  entries: 0,
  bytes: 0,
  problem: 'its folder does not hold it any more.',
});

function verifying({ progress }: Call, count?: number): (read: { bytes: number; ofBytes: number }) => void {
  const message = `verifying ${count === undefined ? 'all archives of a folder' : counted(count, 'archive')}`;
  return ({ bytes, ofBytes }) => progress({ done: bytes, total: ofBytes, message });
}

export function diffTool(caller: Caller): Tool {
  const { cluster } = caller;
  return defineTool({
    name: 'diff',
    title: 'Compare two archives',
    description: `What was added, removed and changed (content or type) between two archives, and where only metadata changed. Reads manifests only. ${IN_POD}`,
    effect: 'reads',
    input: z.strictObject({
      before: Name.optional().describe(
        `The earlier archive: name of ${NAME}. Default: the one before the later, of the same schedule`,
      ),
      after: Name.describe(`The later archive: name of ${NAME}`),
      ...DiffChoice,
    }),
    output: Differences.extend({
      before: z.string().describe('Name of the earlier KmBackup'),
      after: z.string().describe('Name of the later KmBackup'),
    }),
    run: async ({ before: earlier, after: later, ...wish }, call) => {
      const after = await chosenBackup(cluster, placeOf(caller, later));
      const before =
        earlier === undefined
          ? await backupBefore(cluster, after)
          : await chosenBackup(cluster, placeOf(caller, earlier));
      const { found, totals } = await reading(caller, [before, after], call, ({ run, archives }) =>
        diffIn({ run }, archives, wish, (done) => call.progress({ done, message: 'comparing manifests' })),
      );
      return differencesOf({ before: before.metadata.name, after: after.metadata.name }, found, totals);
    },
  });
}

export function historyTool(caller: Caller): Tool {
  return defineTool({
    name: 'history',
    title: 'History of one file',
    description: `One file or folder through all archives of a schedule, in the folder of its newest archive, newest first: in which it is, its size and digest, and where it changed. Reads manifests only. ${IN_POD}`,
    effect: 'reads',
    input: z.strictObject({
      schedule: Name.describe('Name of a KmBackupSchedule'),
      ...HistoryChoice,
    }),
    output: Versions,
    run: async ({ schedule, path, changesOnly }, call) => {
      const newest = await chosenBackup(caller.cluster, placeOf(caller, schedule));
      const series = `${caller.namespace}/${newest.spec.scheduleName}`;
      const versions = await reading(caller, [newest], call, ({ run, archives }) =>
        historyIn({ run }, { folder: posix.dirname(archives[0]!), series, path }, (done) =>
          call.progress({ done, message: 'reading manifests' }),
        ),
      );
      return versionsOf({ path, changesOnly }, versions);
    },
  });
}
