/** Flags and files that the commands on a location take. */
import { readFileSync } from 'node:fs';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { ArchiveError } from '../../archive/index.ts';
import { Retrier } from '../../clock/retry.ts';
import type { Location, LocationOptions, Opener, Sealer } from '../../offsite/index.ts';
import { codeOf } from '../../posix/system-error.ts';
import type { CliContext } from './context.ts';
import { collect, pointInTime, wholeNumber } from './option-values.ts';

export const LOCATION_HELP = 's3://BUCKET/PREFIX or dir:PATH';

export interface LocationFlags {
  readonly pathStyle: boolean;
  readonly caBundle?: string;
  readonly bandwidthLimit?: number;
  readonly retrySeconds: number;
}

export interface IdentityFlags {
  readonly identity: readonly string[];
}

/** Which copy is meant, and how it is read. */
export interface CopyFlags extends LocationFlags, IdentityFlags {
  readonly archive?: string;
  readonly series?: string;
  readonly asOf?: Date;
}

export interface RecipientFlags {
  readonly recipient: readonly string[];
  readonly encryption: boolean;
}

export interface LockFlags {
  readonly retainDays?: number;
  readonly retainMode: 'GOVERNANCE' | 'COMPLIANCE';
}

/** Whether an argument is the address of a location rather than a path. */
export function isLocation(text: string | undefined): text is string {
  return text !== undefined && /^(s3:\/\/|dir:)/.test(text);
}

/** @throws {ArchiveError} Usage when the argument is not the address of a location. */
export function checkLocation(text: string): void {
  if (isLocation(text)) return;
  throw new ArchiveError(
    'Usage',
    `${text} is not a location (${LOCATION_HELP}). For a directory, pass --destination.`,
  );
}

/** `10M`, `512K`, `1G`: bytes (powers of 1,024). */
export function byteCount(value: string): number {
  const match = /^(\d{1,12})([KMG]?)$/.exec(value);
  const bytes = Number(match?.[1]) * 1024 ** ['', 'K', 'M', 'G'].indexOf(match?.[2] ?? '');
  if (!match || bytes < 1 || !Number.isSafeInteger(bytes)) {
    throw new InvalidArgumentError('a number of bytes is needed, such as 512K, 10M or 1G.');
  }
  return bytes;
}

const GROUP = 'Locations off the cluster:';

export function addLocationFlags(command: Command): Command {
  return command
    .optionsGroup(GROUP)
    .option('--path-style', 'address the bucket in the path (most servers other than AWS)', false)
    .option('--ca-bundle <file>', "authorities that sign the server's certificate (default: $AWS_CA_BUNDLE)")
    .option('--bandwidth-limit <bytes>', 'bytes a second, such as 10M', byteCount)
    .option('--retry-seconds <seconds>', 'how long a request that fails is tried again', wholeNumber, 300)
    .optionsGroup('Options:');
}

export function addIdentityFlag(command: Command): Command {
  return command
    .optionsGroup(GROUP)
    .option(
      '--identity <file>',
      'file with age identities, to read encrypted copies (repeatable)',
      collect,
      [],
    )
    .optionsGroup('Options:');
}

/** For commands that take archives or a location. */
export function addCopyFlags(command: Command): Command {
  return addIdentityFlag(
    addLocationFlags(command)
      .optionsGroup(GROUP)
      .option('--archive <name>', 'name of the archive in the location (default: the newest complete one)')
      .option('--series <series>', 'series of the archive, if the location has several'),
  );
}

/** For commands that read one archive of a location. */
export function addAsOfFlag(command: Command): Command {
  return command
    .optionsGroup(GROUP)
    .addOption(
      new Option('--as-of <time>', 'the newest complete archive at or before this time (ISO 8601)')
        .argParser(pointInTime)
        .conflicts('archive'),
    )
    .optionsGroup('Options:');
}

export function addLockFlags(command: Command): Command {
  return command
    .option(
      '--retain-days <days>',
      'lock stored objects for this many days (buckets with object lock)',
      wholeNumber,
    )
    .addOption(
      new Option('--retain-mode <mode>', 'kind of lock')
        .choices(['GOVERNANCE', 'COMPLIANCE'])
        .default('GOVERNANCE'),
    );
}

/** The location at an address, with credentials from the standard AWS sources. */
export async function openAt(
  url: string,
  flags: LocationFlags & Partial<LockFlags>,
  { env, signal }: CliContext,
): Promise<Location> {
  const { locationAt, Throttle } = await import('../../offsite/index.ts');
  const options: LocationOptions = {
    forcePathStyle: flags.pathStyle,
    // Servers other than AWS take any region, and the SDK must have one.
    region: env['AWS_REGION'] ?? env['AWS_DEFAULT_REGION'] ?? 'us-east-1',
    caBundle: flags.caBundle ?? env['AWS_CA_BUNDLE'],
    retrier: new Retrier({ totalMs: flags.retrySeconds * 1000 }),
    ...(flags.bandwidthLimit !== undefined && { throttle: new Throttle(flags.bandwidthLimit) }),
    ...(flags.retainDays !== undefined && { objectLock: flags.retainMode ?? 'GOVERNANCE' }),
    signal,
  };
  return await locationAt(url, options);
}

/** The day until which objects are locked. */
export function retainUntil({ retainDays }: LockFlags, now: Date): Date | undefined {
  return retainDays === undefined ? undefined : new Date(now.getTime() + retainDays * 86_400_000);
}

/** @throws {ArchiveError} Usage */
export async function sealerFor({ recipient, encryption }: RecipientFlags): Promise<Sealer | undefined> {
  if (recipient.length === 0 && encryption) {
    throw new ArchiveError(
      'Usage',
      'Name at least one --recipient age1… (km-backup location keygen makes a key pair), or pass --no-encryption to store the copy unencrypted.',
    );
  }
  if (!encryption && recipient.length > 0) {
    throw new ArchiveError('Usage', '--recipient and --no-encryption exclude each other.');
  }
  if (!encryption) return undefined;
  const { Sealer: MakeSealer } = await import('../../offsite/index.ts');
  return new MakeSealer(recipient);
}

/** The identities in files that age-keygen wrote: one a line, `#` before comments. @throws {ArchiveError} Usage */
export async function openerFor({ identity }: IdentityFlags): Promise<Opener | undefined> {
  if (identity.length === 0) return undefined;
  const lines = identity.flatMap((file) => {
    try {
      return readFileSync(file, 'utf8').split('\n');
    } catch (error) {
      throw new ArchiveError('Usage', `${file}: the identity cannot be read (${codeOf(error) ?? error}).`);
    }
  });
  const identities = lines.map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#'));
  if (identities.length === 0) {
    throw new ArchiveError(
      'Usage',
      `${identity.join(', ')} holds no age identity (a line AGE-SECRET-KEY-1…).`,
    );
  }
  const { Opener: MakeOpener } = await import('../../offsite/index.ts');
  return new MakeOpener(identities);
}
