import path from 'node:path';
import { type Cadence, parseCron } from '../schedule/index.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface Settings {
  readonly enabled: boolean;
  readonly source: string;
  readonly destination: string;
  /** Undefined: the built-in program. */
  readonly script: string | undefined;
  readonly retentionLimit: number;
  readonly cron: (Cadence & { kind: 'cron' }) | undefined;
  readonly intervalMinutes: number;
  readonly listen: { host: string; port: number };
}

export type ParsedEnvironment = { ok: true; settings: Settings } | { ok: false; problems: string[] };

const words: Readonly<Record<string, boolean>> = {
  true: true,
  1: true,
  yes: true,
  on: true,
  false: false,
  0: false,
  no: false,
  off: false,
};

/** `host:port`, `[v6]:port`, `:port` or `port`. */
export function parseListen(value: string): { host: string; port: number } | undefined {
  const match = /^(?:(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]\s]*)):)?(\d{1,5})$/.exec(value);
  const port = Number(match?.[3]);
  if (!match || port > 65_535) return undefined;
  return { host: match[1] || match[2] || '127.0.0.1', port };
}

/**
 * The playbook's variables with its defaults and precedence (cron wins over the interval, an interval below 1
 * counts as 1), and `KM_BACKUP_LISTEN`. An empty variable counts as unset. Every bad one is named.
 */
export function parseEnvironment(env: Environment): ParsedEnvironment {
  const problems: string[] = [];
  const get = (name: string) => {
    const value = env[name]?.trim();
    return value === '' ? undefined : value;
  };
  const refuse = (name: string, expected: string) =>
    problems.push(`${name}=${JSON.stringify(env[name]?.slice(0, 200))}: ${expected}`);
  const whole = (name: string, fallback: number) => {
    const value = get(name);
    if (value === undefined) return fallback;
    if (/^[+-]?\d{1,15}$/.test(value)) return Number(value);
    refuse(name, 'must be a whole number');
    return fallback;
  };

  const switched = get('KM_BACKUP_ENABLED')?.toLowerCase();
  const enabled = switched === undefined ? false : words[switched];
  if (enabled === undefined) refuse('KM_BACKUP_ENABLED', 'must be true or false');

  const statePath = get('KM_STATE_PATH');
  if (statePath === undefined && enabled) problems.push('KM_STATE_PATH is not set: the directory to back up');
  const source = path.resolve(statePath ?? '.');

  const expression = get('KM_BACKUP_CRON');
  const cron =
    expression === undefined ? undefined : parseCron(expression, { timeZone: 'Etc/UTC', hashSeed: source });
  if (cron && !cron.ok) problems.push(`KM_BACKUP_CRON: ${cron.message}`);

  const address = get('KM_BACKUP_LISTEN') ?? '127.0.0.1:8000';
  const listen = parseListen(address);
  if (!listen) refuse('KM_BACKUP_LISTEN', 'must be HOST:PORT, such as 127.0.0.1:8000');

  const intervalMinutes = Math.max(1, whole('KM_BACKUP_INTERVAL_MINUTES', 720));
  if (intervalMinutes > 5_256_000)
    refuse('KM_BACKUP_INTERVAL_MINUTES', 'must be at most ten years (5256000)');
  const retentionLimit = whole('KM_BACKUP_RETENTION_LIMIT', 7);
  const destination = path.resolve(get('KM_BACKUP_DEST_PATH') ?? path.join(source, 'backups', 'archives'));
  const script = get('KM_BACKUP_SCRIPT');

  if (problems.length > 0 || enabled === undefined || !listen || (cron && !cron.ok))
    return { ok: false, problems };
  return {
    ok: true,
    settings: {
      enabled,
      source,
      destination,
      script: script === undefined ? undefined : path.resolve(script),
      retentionLimit,
      cron: cron?.cadence,
      intervalMinutes,
      listen,
    },
  };
}

/** The same for equal schedules: a state that tells another one belongs to a schedule that was edited. */
export function describeSchedule(settings: Settings): string {
  return settings.cron ? `cron ${settings.cron.expression}` : `every ${settings.intervalMinutes}m`;
}
