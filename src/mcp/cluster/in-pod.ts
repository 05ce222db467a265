/** Runs km-backup in the pod that sees the archives, and understands what it prints. */
import { posix } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { z } from 'zod';
import { ExitCode } from '../../api/exit-codes.ts';
import { FleetError } from '../../fleet/errors.ts';
import { KM_BACKUP, type Reader } from '../../fleet/read-archives.ts';
import { printable } from '../../log/printable.ts';
import { CHANGES, type Differing, HISTORY, Totals, Verified, type Versioned } from '../archive-answers.ts';

export type Runner = Pick<Reader, 'run'>;

/** The image is not part of this program: what it prints must not fill the memory. */
const LONGEST_LINE = 1 << 26;
const MOST_WORDS = 10;
const LONGEST_WORDS = 1000;

const Verification = Verified.omit({ name: true }).extend({ archive: z.string() });
const VerifyProgress = z.object({ bytes: z.int(), ofBytes: z.int() });

/** @param what paths of archives, or `--all` and `--destination` */
export async function verifyIn(
  runner: Runner,
  what: readonly string[],
  { deep, onProgress }: { deep: boolean; onProgress: (progress: z.infer<typeof VerifyProgress>) => void },
): Promise<Verified[]> {
  const results: Verified[] = [];
  const { code, words } = await runIn(
    runner,
    ['verify', '--json', '--progress=json', ...(deep ? ['--deep'] : []), ...what],
    {
      stdout: (line) => {
        const { archive, ...result } = parsed(Verification, line);
        results.push({ ...result, name: posix.basename(archive) });
      },
      stderr: (line) => {
        const progress = VerifyProgress.safeParse(jsonOf(line));
        if (progress.success) onProgress(progress.data);
      },
    },
  );
  if (code !== exitCodeOf(results)) throw failure('verify', code, words);
  return results;
}

/** That of km-backup after these verdicts: another one means that it ended early. */
function exitCodeOf(results: readonly Verified[]): ExitCode {
  if (results.some(({ state }) => state === 'damaged')) return ExitCode.verification;
  return results.every(({ state }) => state === 'sound') ? ExitCode.ok : ExitCode.failure;
}

/** A name that is not UTF-8 is given as its bytes. */
const Path = { path: z.string().optional(), pathBytes: z.string().optional() };
const Side = z.object({ ...Path, type: z.string(), size: z.int() });
const Difference = z.object({
  change: z.enum(CHANGES),
  before: Side.optional(),
  after: Side.optional(),
  aspects: z.array(z.string()).optional(),
});
const LastLine = z.object({ totals: Totals });

export interface DiffWish {
  readonly include?: readonly string[] | undefined;
  readonly exclude?: readonly string[] | undefined;
  /** Most differences to return. */
  readonly limit: number;
}

/** @param pair paths of the earlier and the later archive */
export async function diffIn(
  runner: Runner,
  pair: readonly string[],
  { include = [], exclude = [], limit }: DiffWish,
  onFound: (count: number) => void,
): Promise<{ found: Differing[]; totals: Totals }> {
  const found: Differing[] = [];
  let count = 0;
  let last = '';
  const { code, words } = await runIn(
    runner,
    [
      'diff',
      '--json',
      ...include.map((pattern) => `--include=${pattern}`),
      ...exclude.map((pattern) => `--exclude=${pattern}`),
      ...(limit === 0 ? ['--summary'] : []),
      ...pair,
    ],
    {
      stdout: (line) => {
        last = line;
        if (!line.startsWith('{"change"')) return;
        onFound(++count);
        if (found.length < limit) found.push(differing(parsed(Difference, line)));
      },
    },
  );
  if (code !== 0) throw failure('diff', code, words);
  return { found, totals: parsed(LastLine, last).totals };
}

function differing({ change, before, after, aspects }: z.infer<typeof Difference>): Differing {
  const { path, pathBytes = '' } = (after ?? before) as z.infer<typeof Side>;
  return {
    change,
    path: path ?? printable(Buffer.from(pathBytes, 'latin1'), Number.POSITIVE_INFINITY),
    before,
    after,
    aspects,
  };
}

const VersionLine = z.object({
  archive: z.string(),
  change: z.enum(HISTORY),
  problem: z.string().optional(),
  digest: z.string().optional(),
  entry: z.object({ type: z.string(), size: z.int(), mtime: z.string().regex(/^-?\d{1,28}$/) }).optional(),
});

export interface HistoryWish {
  /** Folder of the archives in the pod. */
  readonly folder: string;
  readonly series: string;
  readonly path: string;
}

/** Oldest first. */
export async function historyIn(
  runner: Runner,
  { folder, series, path }: HistoryWish,
  onVersion: (count: number) => void,
): Promise<Versioned[]> {
  const versions: Versioned[] = [];
  const { code, words } = await runIn(
    runner,
    ['history', '--json', `--destination=${folder}`, `--series=${series}`, '--', path],
    {
      stdout: (line) => {
        versions.push(parsed(VersionLine, line));
        onVersion(versions.length);
      },
    },
  );
  if (code !== 0) throw failure('history', code, words);
  return versions;
}

interface Ended {
  readonly code: number;
  /** The last lines for people of standard error. */
  readonly words: readonly string[];
}

async function runIn(
  { run }: Runner,
  args: readonly string[],
  on: { stdout: (line: string) => void; stderr?: (line: string) => void },
): Promise<Ended> {
  const words: string[] = [];
  const stdout = new LineSplitter(on.stdout);
  const stderr = new LineSplitter((line) => {
    on.stderr?.(line);
    if (line.startsWith('{')) return;
    words.push(printable(line.replace(/^km-backup: /, ''), LONGEST_WORDS));
    if (words.length > MOST_WORDS) words.shift();
  });
  const code = await run([KM_BACKUP, ...args], { stdout: stdout.write, stderr: stderr.write });
  stdout.end();
  stderr.end();
  return { code, words };
}

function failure(command: string, code: number, words: readonly string[]): FleetError {
  const said = words.length === 0 ? `it ended with exit status ${code}.` : words.join(' ');
  return new FleetError('Failed', `km-backup ${command} failed in the pod that reads the archive: ${said}`);
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function parsed<T>(schema: z.ZodType<T>, line: string): T {
  const { success, data } = schema.safeParse(jsonOf(line));
  if (success) return data;
  throw notUnderstood(printable(line, 200));
}

function notUnderstood(what: string): FleetError {
  return new FleetError(
    'Failed',
    `The pod that reads the archive printed what this version does not understand: ${what} Its image may hold another version of km-backup.`,
  );
}

/** Lines of a stream of bytes, in which a chunk may end within a character. */
class LineSplitter {
  readonly #take: (line: string) => void;
  readonly #decoder = new StringDecoder('utf8');
  #parts: string[] = [];
  #length = 0;

  constructor(take: (line: string) => void) {
    this.#take = take;
  }

  readonly write = (chunk: Buffer): void => {
    const [first = '', ...rest] = this.#decoder.write(chunk).split('\n');
    this.#add(first);
    for (const part of rest) {
      this.#flush();
      this.#add(part);
    }
  };

  /** A last line may lack its newline. */
  end(): void {
    this.#add(this.#decoder.end());
    if (this.#length > 0) this.#flush();
  }

  #add(part: string): void {
    this.#length += part.length;
    if (this.#length > LONGEST_LINE) throw notUnderstood('a line without an end.');
    this.#parts.push(part);
  }

  #flush(): void {
    const line = this.#parts.join('');
    this.#parts = [];
    this.#length = 0;
    this.#take(line);
  }
}
