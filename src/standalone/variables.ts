import path from 'node:path';

/**
 * Every environment variable that km-backup reads: one table for `serve`, for `km-backup [OUTPUT]`, for the
 * subcommands, for the help texts and for docs/standalone.md.
 */

export type Environment = Readonly<Record<string, string | undefined>>;

interface Variable {
  /** In order of precedence: the first that is set counts. */
  readonly names: readonly [string, ...string[]];
  /** As the documentation shows it. */
  readonly default: string;
  /** `serve`, `mcp`: that command alone. `both`: these two. `all`: `km-backup [OUTPUT]` and the subcommands too. */
  readonly readBy: 'serve' | 'mcp' | 'both' | 'all';
  readonly meaning: string;
}

export const VARIABLES = {
  enabled: {
    names: ['KM_BACKUP_ENABLED'],
    default: '`false`',
    readBy: 'both',
    meaning: '`true` starts backups; otherwise only the HTTP server runs.',
  },
  source: {
    names: ['KM_BACKUP_SOURCE', 'KM_STATE_PATH'],
    default: 'required',
    readBy: 'all',
    meaning: 'Directory to back up.',
  },
  destination: {
    names: ['KM_BACKUP_DEST', 'KM_BACKUP_DEST_PATH'],
    default: '`backups/archives` in the source',
    readBy: 'all',
    meaning: 'Directory of the archives. Created if missing, never packed.',
  },
  intervalMinutes: {
    names: ['KM_BACKUP_INTERVAL_MINUTES'],
    default: '`720`',
    readBy: 'both',
    meaning:
      'Minutes between runs; below 1 counts as 1. The first run comes one interval after the first start.',
  },
  cron: {
    names: ['KM_BACKUP_CRON'],
    default: 'unset',
    readBy: 'both',
    meaning:
      '5 fields in UTC, or `@daily` and the like; takes precedence over the interval. `H` stands for a value hashed from the path of the source.',
  },
  retentionLimit: {
    names: ['KM_BACKUP_RETENTION_LIMIT'],
    default: '`7`',
    readBy: 'both',
    meaning: 'Newest archives to keep; 0 or less keeps all.',
  },
  copyTo: {
    names: ['KM_BACKUP_COPY_TO'],
    default: 'unset',
    readBy: 'serve',
    meaning:
      'Location off the machine that gets a copy of the newest archive after each success: `s3://BUCKET/PREFIX` or `dir:PATH`. Credentials: the `AWS_*` variables.',
  },
  copyRecipients: {
    names: ['KM_BACKUP_COPY_RECIPIENTS'],
    default: 'required with a location',
    readBy: 'serve',
    meaning: 'age public keys that can read the copies, separated by commas; `none` stores them unencrypted.',
  },
  copyRetentionLimit: {
    names: ['KM_BACKUP_COPY_RETENTION_LIMIT'],
    default: 'that of the archives',
    readBy: 'serve',
    meaning: 'Newest copies to keep; 0 or less keeps all.',
  },
  copyPathStyle: {
    names: ['KM_BACKUP_COPY_PATH_STYLE'],
    default: '`false`',
    readBy: 'serve',
    meaning: '`true` addresses the bucket in the path, which most servers other than AWS need.',
  },
  allowEmpty: {
    names: ['KM_BACKUP_ALLOW_EMPTY'],
    default: '`false`',
    readBy: 'all',
    meaning:
      '`true` accepts a source without files. By default it is a failure: an unmounted volume looks the same.',
  },
  guardMaxShrinkPercent: {
    names: ['KM_BACKUP_GUARD_MAX_SHRINK_PERCENT'],
    default: 'unset',
    readBy: 'all',
    meaning:
      'An archive with this much fewer files or bytes than the one before it is suspicious: nothing is removed until `km-backup approve`.',
  },
  guardMaxChangePercent: {
    names: ['KM_BACKUP_GUARD_MAX_CHANGE_PERCENT'],
    default: 'unset',
    readBy: 'all',
    meaning: 'The same if more than this many percent of the files are gone or have other content.',
  },
  script: {
    names: ['KM_BACKUP_SCRIPT'],
    default: 'the built-in program',
    readBy: 'both',
    meaning: 'Program to run instead of the built-in one.',
  },
  mcpToken: {
    names: ['KM_BACKUP_MCP_TOKEN'],
    default: 'required with `--http`',
    readBy: 'mcp',
    meaning:
      'Bearer token that clients of `km-backup mcp --http` must send; `--token-file` takes precedence.',
  },
  listen: {
    names: ['KM_BACKUP_LISTEN'],
    default: '`127.0.0.1:8000`',
    readBy: 'serve',
    meaning: 'Address of the HTTP server; `--listen` takes precedence.',
  },
  page: {
    names: ['KM_BACKUP_PAGE'],
    default: '`true` on a loopback address, else `false`',
    readBy: 'serve',
    meaning: '`true` serves the status page at `/` and `/status.json`. It has no login.',
  },
} as const satisfies Record<string, Variable>;

export type VariableKey = keyof typeof VARIABLES;

const table: readonly Variable[] = Object.values(VARIABLES);
const known: ReadonlySet<string> = new Set(table.flatMap(({ names }) => names));

/** The value and the name it comes from. A variable that is empty or blank counts as unset. */
export function readVariable(
  env: Environment,
  key: VariableKey,
): { name: string; value: string } | undefined {
  for (const name of VARIABLES[key].names) {
    const value = env[name];
    if (value !== undefined && value.trim() !== '') return { name, value };
  }
  return undefined;
}

export function sourceOf(env: Environment): string | undefined {
  return readVariable(env, 'source')?.value;
}

export function destinationOf(env: Environment): string | undefined {
  return readVariable(env, 'destination')?.value;
}

/** Where the archives go if no variable says so. */
export function defaultDestination(source: string): string {
  return path.join(source, 'backups', 'archives');
}

const switches: Readonly<Record<string, boolean>> = {
  true: true,
  1: true,
  yes: true,
  on: true,
  false: false,
  0: false,
  no: false,
  off: false,
};

/** A variable that is true or false (default: false), or a sentence on why it is neither. */
export function switchOf(env: Environment, key: VariableKey): boolean | { problem: string } {
  const found = readVariable(env, key);
  if (!found) return false;
  const { name, value } = found;
  const on = switches[value.trim().toLowerCase()];
  return on ?? { problem: `${name}=${JSON.stringify(value.slice(0, 200))}: must be true or false` };
}

/** Kubernetes sets such variables for each Service, for example one called `km-backup-operator`. */
const serviceLink = /_SERVICE_(?:HOST|PORT(?:_.+)?)$|_PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_.+)?)?$/;

/** Sentences on variables that have no effect: unknown ones, and pairs of names with different values. */
export function variableWarnings(env: Environment): string[] {
  const warnings: string[] = [];
  for (const name of Object.keys(env).sort()) {
    if (!name.startsWith('KM_BACKUP_') || known.has(name) || serviceLink.test(name)) continue;
    const near = nearest(name);
    const hint = near === undefined ? `the variables are ${[...known].join(', ')}` : `did you mean ${near}?`;
    warnings.push(
      `${JSON.stringify(name.slice(0, 100)).slice(1, -1)} is not a variable of km-backup and has no effect: ${hint}`,
    );
  }
  for (const { names } of table) {
    const [first, ...others] = names.filter((name) => env[name] !== undefined && env[name].trim() !== '');
    for (const other of others) {
      // A trailing slash makes no difference.
      if (path.resolve(env[first!]!) !== path.resolve(env[other]!))
        warnings.push(`${first} and ${other} are both set and differ: ${first} takes precedence`);
    }
  }
  return warnings;
}

/** At most this many letters away counts as a typing error. */
const TYPING_ERRORS = 3;

function nearest(name: string): string | undefined {
  const extended = [...known].find((candidate) => candidate.startsWith(name) || name.startsWith(candidate));
  if (extended !== undefined) return extended;
  const [best] = [...known]
    .map((candidate) => ({ candidate, away: editDistance(name.slice(0, 100), candidate) }))
    .sort((a, b) => a.away - b.away);
  return best && best.away <= TYPING_ERRORS ? best.candidate : undefined;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}

const READERS: Readonly<Record<Variable['readBy'], string>> = {
  all: 'every mode',
  both: '`serve`, `mcp`',
  serve: '`serve`',
  mcp: '`mcp`',
};

/** The table of docs/standalone.md. */
export function variablesPage(): string {
  const rows = table.map(({ names, default: fallback, readBy, meaning }) => {
    const name = names.map((each) => `\`${each}\``).join(', else ');
    return `| ${name} | ${fallback} | ${READERS[readBy]} | ${meaning} |`;
  });
  return ['| Variable | Default | Read by | Meaning |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

/** For `--help`: plain text, one variable a line. */
export function variablesHelp(readBy: readonly Variable['readBy'][]): string {
  const shown = table.filter((variable) => readBy.includes(variable.readBy));
  const labels = shown.map(({ names }) => names.join(', else '));
  const width = Math.max(...labels.map((label) => label.length));
  return shown
    .map(({ default: fallback, meaning }, index) =>
      `  ${labels[index]!.padEnd(width)}  ${meaning} Default: ${fallback}.`.replaceAll('`', ''),
    )
    .join('\n');
}
