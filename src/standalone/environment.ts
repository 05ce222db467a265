import path from 'node:path';
import type { GuardLimits } from '../archive/index.ts';
import { type Cadence, cadenceOf } from '../schedule/index.ts';
import type { CopySettings } from './copier.ts';
import {
  defaultDestination,
  destinationOf,
  type Environment,
  readVariable,
  switchOf,
  VARIABLES,
} from './variables.ts';

/** What `km-backup serve` takes from the environment. */
export interface Settings {
  readonly enabled: boolean;
  readonly source: string;
  readonly destination: string;
  /** Undefined: the built-in program. */
  readonly script: string | undefined;
  readonly retentionLimit: number;
  readonly allowEmpty: boolean;
  /** Undefined: no archive is suspicious. `km-backup create` reads the variables itself. */
  readonly guard: GuardLimits | undefined;
  /** Takes precedence over the interval. */
  readonly cron: string | undefined;
  readonly intervalMinutes: number;
  readonly listen: { host: string; port: number };
  /** Whether to serve the status page. */
  readonly page: boolean;
  /** Undefined: nothing is copied. */
  readonly copies: CopySettings | undefined;
}

export type ParsedEnvironment = { ok: true; settings: Settings } | { ok: false; problems: string[] };

/** Ten years. */
const MAX_INTERVAL_MINUTES = 5_256_000;

/** `host:port`, `[v6]:port`, `:port` or `port`. */
export function parseListen(value: string): { host: string; port: number } | undefined {
  const match = /^(?:(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]\s]*)):)?(\d{1,5})$/.exec(value);
  const port = Number(match?.[3]);
  if (!match || port > 65_535) return undefined;
  return { host: match[1] || match[2] || '127.0.0.1', port };
}

/** Only this machine reaches such an address. */
const isLoopback = (host: string): boolean => /^(?:localhost|::1|127(?:\.\d{1,3}){3})$/.test(host);

/** Reads the variables; all bad ones are named, not only the first. */
export function parseEnvironment(env: Environment): ParsedEnvironment {
  const problems: string[] = [];
  const refuse = (name: string, expected: string) =>
    problems.push(`${name}=${JSON.stringify(env[name]?.slice(0, 200))}: ${expected}`);
  const text = (key: keyof typeof VARIABLES) => readVariable(env, key)?.value.trim();
  const whole = (key: keyof typeof VARIABLES, fallback: number) => {
    const value = text(key);
    if (value === undefined) return fallback;
    if (/^[+-]?\d{1,15}$/.test(value)) return Number(value);
    refuse(VARIABLES[key].names[0], 'must be a whole number');
    return fallback;
  };
  const isOn = (key: keyof typeof VARIABLES) => {
    const on = switchOf(env, key);
    if (typeof on === 'boolean') return on;
    problems.push(on.problem);
    return false;
  };

  // A mistake must show at the start, not at the first run.
  const percent = (key: 'guardMaxShrinkPercent' | 'guardMaxChangePercent') => {
    const value = text(key);
    if (value === undefined) return undefined;
    if (!/^(?:[1-9]\d?|100)$/.test(value))
      refuse(VARIABLES[key].names[0], 'must be a whole number from 1 to 100');
    return Number(value);
  };
  const maxShrinkPercent = percent('guardMaxShrinkPercent');
  const maxChangePercent = percent('guardMaxChangePercent');
  const isGuarded = maxShrinkPercent !== undefined || maxChangePercent !== undefined;
  const enabled = isOn('enabled');
  const allowEmpty = isOn('allowEmpty');
  const sourcePath = readVariable(env, 'source')?.value;
  if (sourcePath === undefined && enabled)
    problems.push(`${VARIABLES.source.names.join(' or ')} must name the directory to back up`);
  const source = path.resolve(sourcePath ?? '.');

  const listen = parseListen(text('listen') ?? '127.0.0.1:8000');
  if (!listen) refuse('KM_BACKUP_LISTEN', 'must be HOST:PORT, such as 127.0.0.1:8000');

  const intervalMinutes = Math.max(1, whole('intervalMinutes', 720));
  if (intervalMinutes > MAX_INTERVAL_MINUTES)
    refuse('KM_BACKUP_INTERVAL_MINUTES', `must be at most ${MAX_INTERVAL_MINUTES} (ten years)`);
  const retentionLimit = whole('retentionLimit', 7);
  const script = readVariable(env, 'script')?.value;
  const copies = copiesFrom({
    to: text('copyTo'),
    recipients: text('copyRecipients'),
    retentionLimit: whole('copyRetentionLimit', retentionLimit),
    pathStyle: isOn('copyPathStyle'),
    script,
    refuse,
  });
  const cron = text('cron');
  const parsed = parseSchedule({ cron, intervalMinutes, source }, 0);
  if (!parsed.ok && cron !== undefined) problems.push(`KM_BACKUP_CRON: ${parsed.message}`);

  const page = readVariable(env, 'page') ? isOn('page') : isLoopback(listen?.host ?? '');

  if (problems.length > 0 || !listen) return { ok: false, problems };
  return {
    ok: true,
    settings: {
      enabled,
      source,
      destination: path.resolve(destinationOf(env) ?? defaultDestination(source)),
      script: script === undefined ? undefined : path.resolve(script),
      retentionLimit,
      allowEmpty,
      guard: isGuarded ? { maxShrinkPercent, maxChangePercent } : undefined,
      cron,
      intervalMinutes,
      listen,
      page,
      copies,
    },
  };
}

function copiesFrom(given: {
  to: string | undefined;
  recipients: string | undefined;
  retentionLimit: number;
  pathStyle: boolean;
  script: string | undefined;
  refuse: (name: string, expected: string) => void;
}): CopySettings | undefined {
  const { to, retentionLimit, pathStyle, script, refuse } = given;
  if (to === undefined) {
    if (given.recipients !== undefined)
      refuse('KM_BACKUP_COPY_RECIPIENTS', 'has no effect without KM_BACKUP_COPY_TO');
    return undefined;
  }
  if (!/^(s3:\/\/[a-z0-9]|dir:.)/.test(to))
    refuse('KM_BACKUP_COPY_TO', 'must be s3://BUCKET/PREFIX or dir:PATH');
  if (script !== undefined)
    refuse('KM_BACKUP_COPY_TO', 'needs the built-in program: archives of KM_BACKUP_SCRIPT have no manifest');
  const words = (given.recipients ?? '').split(/[\s,]+/).filter(Boolean);
  const recipients = words.length === 1 && words[0] === 'none' ? [] : words;
  if (words.length === 0 || !recipients.every((word) => /^age1[a-z0-9]+$/.test(word))) {
    refuse(
      'KM_BACKUP_COPY_RECIPIENTS',
      'must be age public keys (age1…; km-backup location keygen makes one), or none to store copies unencrypted',
    );
  }
  return { to, recipients, retentionLimit, pathStyle };
}

function parseSchedule(
  { cron, intervalMinutes, source }: Pick<Settings, 'cron' | 'intervalMinutes' | 'source'>,
  anchorMs: number,
) {
  return cadenceOf({ cron, timeZone: 'Etc/UTC', hashSeed: source, intervalMinutes, anchorMs });
}

/** @param anchorMs Intervals count from here; epoch ms. */
export function scheduleOf(settings: Settings, anchorMs: number): Cadence {
  const parsed = parseSchedule(settings, anchorMs);
  if (!parsed.ok) throw new RangeError(parsed.message);
  return parsed.cadence;
}

/** Persisted, to notice an edited schedule: equal for equal schedules, and the same in every release. */
export function describeSchedule({ cron, intervalMinutes }: Settings): string {
  return cron === undefined ? `every ${intervalMinutes}m` : `cron ${cron}`;
}
