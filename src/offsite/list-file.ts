/** The list of an archive: which bytes of which packs, laid end to end, are the archive. Text, for people and for sh. */
import { ArchiveError } from '../archive/index.ts';

/** A run of bytes of one pack; offsets count in the decrypted pack. */
export interface Run {
  /** File name of the pack. */
  readonly pack: string;
  readonly offset: number;
  readonly length: number;
}

export interface ArchiveList {
  readonly archive: string;
  readonly series: string;
  /** Who stored it; see `writerOf`. */
  readonly writer: string;
  readonly sizeBytes: number;
  /** Hex digest of the archive. */
  readonly sha256: string;
  /** ISO 8601: when the archive was begun. */
  readonly startedAt: string;
  readonly isSealed: boolean;
  /** Whose identities read it; see `Sealer.id`. Empty when it is not encrypted. */
  readonly recipients: string;
  /** Whether every file was captured faithfully. */
  readonly isComplete: boolean;
  /** Objects that hold the manifest alone, as earlier versions stored it; 0 where it is in packs. */
  readonly manifestParts: number;
  /** Bytes of each pack's object, by its file name: what `verify` compares. */
  readonly packBytes: ReadonlyMap<string, number>;
  readonly runs: readonly Run[];
  /** The same for the manifest: its pieces and its tail. */
  readonly manifestRuns: readonly Run[];
  /** Where the table of the manifest's pieces lies. Copies of earlier versions have none. */
  readonly manifestTable?: Run | undefined;
}

/** Every run that the list names, in the order of its index. */
export const allRuns = ({
  runs,
  manifestRuns,
  manifestTable,
}: Pick<ArchiveList, 'runs' | 'manifestRuns' | 'manifestTable'>): Run[] => [
  ...runs,
  ...manifestRuns,
  ...(manifestTable ? [manifestTable] : []),
];

const FIRST_LINE = '# km-backup list 1';
const MANIFEST = '# manifest ';
const TABLE = '# manifestTable ';

type Header = Omit<ArchiveList, 'packBytes' | 'runs' | 'manifestRuns' | 'manifestTable'>;

const isString = (value: unknown) => typeof value === 'string';
const isNumber = (value: unknown) => typeof value === 'number';
const isBoolean = (value: unknown) => typeof value === 'boolean';

/** The fields of the header, in the order of the file, each with what its value must be. */
const HEADER: Record<keyof Header, (value: unknown) => boolean> = {
  archive: isString,
  series: isString,
  writer: isString,
  sizeBytes: isNumber,
  sha256: (value) => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value),
  startedAt: (value) => typeof value === 'string' && !Number.isNaN(Date.parse(value)),
  isSealed: isBoolean,
  recipients: isString,
  isComplete: isBoolean,
  manifestParts: isNumber,
};
const KEYS = Object.keys(HEADER) as (keyof Header)[];

export function encodeList(list: ArchiveList): string {
  const lines = KEYS.map((key) => `# ${key} ${JSON.stringify(list[key])}`);
  const packs = Array.from(list.packBytes, ([pack, bytes]) => `# pack ${pack} ${bytes}`);
  const textOf = ({ pack, offset, length }: Run) => `${pack} ${offset} ${length}`;
  // In comments: what sh reads is the archive alone.
  const manifest = list.manifestRuns.map((run) => MANIFEST + textOf(run));
  if (list.manifestTable) manifest.push(TABLE + textOf(list.manifestTable));
  const runs = list.runs.map(textOf);
  return `${[FIRST_LINE, ...lines, ...packs, ...manifest, '# pack offset length', ...runs].join('\n')}\n`;
}

/** @throws {ArchiveError} ArchiveCorrupt when the text is not a whole list of this format. */
export function parseList(text: string, where: string): ArchiveList {
  const lines = text.split('\n');
  if (lines[0] !== FIRST_LINE) throw malformed(where, 'its first line is not that of a list');
  if (lines.at(-1) !== '') throw malformed(where, 'its last line is cut');
  const header: Record<string, unknown> = {};
  const packBytes = new Map<string, number>();
  const runs: Run[] = [];
  const manifestRuns: Run[] = [];
  let manifestTable: Run | undefined;
  for (const line of lines.slice(1, -1)) {
    const entry = /^# (\w+) (".*"|true|false|\d+)$/.exec(line);
    const pack = /^# pack ([A-Za-z0-9._-]+) (\d{1,15})$/.exec(line);
    if (line.startsWith(MANIFEST)) manifestRuns.push(parseRun(line.slice(MANIFEST.length), where));
    else if (line.startsWith(TABLE)) manifestTable = parseRun(line.slice(TABLE.length), where);
    else if (pack) packBytes.set(pack[1]!, Number(pack[2]));
    else if (entry && Object.hasOwn(HEADER, entry[1]!)) header[entry[1]!] = JSON.parse(entry[2]!);
    else if (!line.startsWith('#')) runs.push(parseRun(line, where));
  }
  const total = bytesOf(runs);
  if (!isHeader(header)) throw malformed(where, 'its header is incomplete');
  const { sizeBytes } = header;
  if (total !== sizeBytes) throw malformed(where, `its lines add up to ${total} bytes, not ${sizeBytes}`);
  return { ...header, packBytes, runs, manifestRuns, manifestTable };
}

function isHeader(fields: Record<string, unknown>): fields is Record<string, unknown> & Header {
  return KEYS.every((key) => HEADER[key](fields[key]));
}

function parseRun(line: string, where: string): Run {
  const match = /^([A-Za-z0-9._-]+) (\d{1,15}) (\d{1,15})$/.exec(line);
  if (!match) throw malformed(where, `a line is malformed: ${JSON.stringify(line.slice(0, 100))}`);
  return { pack: match[1]!, offset: Number(match[2]), length: Number(match[3]) };
}

function malformed(where: string, what: string): ArchiveError {
  return new ArchiveError('ArchiveCorrupt', `${where} is not a valid list: ${what}.`);
}

export const bytesOf = (runs: readonly Run[]): number => runs.reduce((sum, { length }) => sum + length, 0);

/** Adds a run, joined with the one before where they adjoin. */
export function appendRun(runs: Run[], next: Run): void {
  const last = runs.at(-1);
  if (last && last.pack === next.pack && last.offset + last.length === next.offset) {
    runs[runs.length - 1] = { ...last, length: last.length + next.length };
  } else runs.push(next);
}
