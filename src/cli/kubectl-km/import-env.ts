/** A file of `KM_BACKUP_*` variables as a KmBackupSchedule. Pure. */
import path from 'node:path';
import { type Environment, readVariable, VARIABLES, type VariableKey } from '../../standalone/variables.ts';

/** A manifest, and what it does not say although the original did. */
export interface Translation {
  readonly spec: Record<string, unknown>;
  /** Sentences. */
  readonly untranslated: readonly string[];
}

export interface ImportOptions {
  /** Claim of the source. */
  readonly claim?: string | undefined;
  /** Claim of the archives, if it is another. */
  readonly destinationClaim?: string | undefined;
}

const LINE = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$/;

/** The variables of a file as shells and Docker read it: `NAME=value`, `export`, quotes, comments. */
export function parseEnv(text: string): { env: Environment; ignored: string[] } {
  const env: Record<string, string> = {};
  const ignored: string[] = [];
  for (const line of text.split(/\r?\n/)) {
    if (/^\s*(#|$)/.test(line)) continue;
    const [, name, raw = ''] = LINE.exec(line) ?? [];
    if (name === undefined) ignored.push(line.trim());
    else env[name] = unquoted(raw);
  }
  return { env, ignored };
}

function unquoted(raw: string): string {
  const [, single, double] = /^(?:'([^']*)'|"((?:[^"\\]|\\.)*)")\s*(?:#.*)?$/.exec(raw) ?? [];
  if (single !== undefined) return single;
  if (double !== undefined) return double.replace(/\\(.)/g, '$1');
  return raw.replace(/\s+#.*$/, '');
}

/** What each variable becomes; the others stay with `km-backup serve`. */
const BECOMES: Readonly<Partial<Record<VariableKey, string>>> = {
  copyTo: 'a KmBackupLocation, named in spec.copies',
  copyRecipients: 'spec.encryption of the KmBackupLocation',
  copyRetentionLimit: 'spec.copies[].retention',
  copyPathStyle: 'spec.s3.forcePathStyle of the KmBackupLocation',
  script: 'spec.script.configMapKeyRef, with the script in a ConfigMap',
  listen: 'nothing: the operator serves health and metrics',
};

export function scheduleFromEnv(text: string, options: ImportOptions): Translation {
  const { env, ignored } = parseEnv(text);
  const untranslated = ignored.map((line) => `This line is not NAME=value: ${line}`);
  const read = (key: VariableKey) => readVariable(env, key)?.value.trim();
  const number = (key: VariableKey) => {
    const value = read(key);
    if (value === undefined) return undefined;
    const parsed = Number(value);
    if (Number.isInteger(parsed)) return parsed;
    untranslated.push(`${VARIABLES[key].names[0]}=${value} is not a whole number: the default is used.`);
    return undefined;
  };
  const source = read('source');
  if (options.claim === undefined) {
    untranslated.push(
      `${source ? `The source is the folder ${source}` : 'No source is set'}; a schedule names a claim. Replace CLAIM, or pass --claim.`,
    );
  }
  const interval = number('intervalMinutes');
  const cron = read('cron');
  const limit = number('retentionLimit');
  const enabled = read('enabled')?.toLowerCase();
  for (const [key, becomes] of Object.entries(BECOMES)) {
    const found = readVariable(env, key as VariableKey);
    if (found) untranslated.push(`${found.name} is left out. It becomes ${becomes}.`);
  }
  const known: ReadonlySet<string> = new Set(Object.values(VARIABLES).flatMap(({ names }) => names));
  for (const name of Object.keys(env))
    if (!known.has(name)) untranslated.push(`${name} is not a variable of km-backup: it is left out.`);
  return {
    spec: {
      suspend: enabled === undefined || !/^(true|1|yes|on)$/.test(enabled),
      ...(cron === undefined ? { intervalMinutes: Math.max(1, interval ?? 720) } : { cron }),
      source: {
        persistentVolumeClaim: { claimName: options.claim ?? 'CLAIM' },
        ...(/^(true|1|yes|on)$/i.test(read('allowEmpty') ?? '') && { allowEmpty: true }),
      },
      destination: destinationOf(source, read('destination'), options, untranslated),
      retention: { limit: Math.max(0, limit ?? 7) },
    },
    untranslated,
  };
}

/** The folder inside the claim: below the source, or below the root of a claim of its own. */
export function destinationOf(
  source: string | undefined,
  destination: string | undefined,
  { destinationClaim }: ImportOptions,
  untranslated: string[],
): object {
  const claim = destinationClaim && { persistentVolumeClaim: { claimName: destinationClaim } };
  if (destination === undefined) return { ...claim, path: 'backups/archives' };
  const inside = source === undefined ? undefined : path.posix.relative(source, destination);
  if (inside && !inside.startsWith('..') && !path.posix.isAbsolute(inside)) return { ...claim, path: inside };
  if (!destinationClaim) {
    untranslated.push(
      `The archives are in ${destination}, outside the source; a schedule names a claim for them. Pass --destination-claim, or they go to the claim of the source.`,
    );
  }
  return { ...claim, path: 'archives' };
}
