import { writeFileSync } from 'node:fs';
import { Command } from 'commander';
import type { CheckResult } from '../../api/location-result.ts';
import { ArchiveError } from '../../archive/index.ts';
import { formatBytes } from '../../log/units.ts';
import type { Location } from '../../offsite/index.ts';
import { codeOf } from '../../posix/system-error.ts';
import type { CliContext } from './context.ts';
import { addLocationFlags, LOCATION_HELP, type LocationFlags, openAt } from './location-flags.ts';
import { print, printLine, say, warn } from './output.ts';
import { checkResultFile, writeCheckResult } from './result-file.ts';

interface CheckFlags extends LocationFlags {
  readonly init: boolean;
  readonly expectId?: string;
  readonly usage: boolean;
  readonly resultFile?: string;
}

export function command(context: CliContext): Command {
  const location = new Command('location').description('set up a place for copies off the cluster');
  addLocationFlags(
    location
      .command('init')
      .description('make a location at an address; one that is there already is kept')
      .argument('<location>', LOCATION_HELP),
  ).action(async (url: string, flags: LocationFlags) => {
    const { initLocation } = await import('../../offsite/index.ts');
    const place = await openAt(url, flags, context);
    const { id, created } = await initLocation(place, () => new Date());
    print(`${place.url}: location ${id}, made ${created}.`);
  });
  addLocationFlags(
    location
      .command('check')
      .description('try everything that copies need: write, read, list and delete')
      .argument('<location>', LOCATION_HELP)
      .option('--init', 'make the location if there is none', false)
      .option('--expect-id <id>', 'refuse a location with another id')
      .option('--usage', 'also count copies and bytes, which lists every object', false)
      .option('--result-file <path>', 'write the result as JSON, at most 4,096 bytes'),
  ).action((url: string, flags: CheckFlags) => runCheck(url, flags, context));
  location
    .command('keygen')
    .description('make a key pair: copies are encrypted for the recipient, and read with the identity')
    .option('-o, --output <file>', 'file for the identity, made with mode 0600 (default: standard output)')
    .action(async ({ output }: { output?: string }) => {
      const { generateKeyPair } = await import('../../offsite/index.ts');
      const { identity, recipient } = await generateKeyPair();
      const text = `# created: ${new Date().toISOString()}\n# public key: ${recipient}\n${identity}\n`;
      if (output === undefined) {
        process.stdout.write(text);
        return;
      }
      try {
        writeFileSync(output, text, { flag: 'wx', mode: 0o600 });
      } catch (error) {
        throw new ArchiveError(
          'Usage',
          `${output} cannot be made (${codeOf(error) ?? error}). Nothing is overwritten.`,
        );
      }
      printLine(recipient);
      say(
        `The identity is in ${output}. Keep it off the cluster, and keep it safe: without it no encrypted copy can be read.`,
      );
    });
  return location;
}

async function runCheck(url: string, flags: CheckFlags, context: CliContext): Promise<void> {
  const { resultFile } = flags;
  if (resultFile !== undefined) checkResultFile(resultFile);
  const startedAt = new Date().toISOString();
  const end = (outcome: Omit<CheckResult, 'version' | 'command' | 'startedAt' | 'finishedAt'>) => {
    if (resultFile === undefined) return;
    const finishedAt = new Date().toISOString();
    writeCheckResult(resultFile, { version: 1, command: 'check', ...outcome, startedAt, finishedAt });
  };
  try {
    const { message, ...found } = await check(url, flags, context);
    print(message);
    end({ outcome: 'Succeeded', reason: 'LocationChecked', message, ...found });
  } catch (error) {
    const reason = error instanceof ArchiveError ? error.reason : 'Internal';
    end({ outcome: 'Failed', reason, message: (error as Error).message });
    throw error;
  }
}

async function check(
  url: string,
  flags: CheckFlags,
  context: CliContext,
): Promise<Pick<CheckResult, 'message' | 'locationId' | 'deleteRefused' | 'usage'>> {
  const { checkLocation, initLocation } = await import('../../offsite/index.ts');
  const place = await openAt(url, flags, context);
  if (flags.init) await initLocation(place, () => new Date());
  const { id, deleteRefused } = await checkLocation(place, flags.expectId);
  const verbs =
    deleteRefused === undefined ? 'Writing, reading, listing and deleting' : 'Writing, reading and listing';
  if (deleteRefused !== undefined) {
    warn(`${deleteRefused} Copies can be made, but not removed, as long as that is so.`);
  }
  const usage = flags.usage ? await usageOf(place) : undefined;
  const holds = usage
    ? ` It holds ${usage.archives} copies in ${usage.objects} objects, ${formatBytes(usage.bytes)}.`
    : '';
  return {
    message: `${place.url}: location ${id}. ${verbs} work.${holds}`,
    locationId: id,
    ...(deleteRefused !== undefined && { deleteRefused }),
    ...(usage && { usage }),
  };
}

async function usageOf(place: Location): Promise<NonNullable<CheckResult['usage']>> {
  const { listedArchives } = await import('../../offsite/index.ts');
  const usage = { archives: (await listedArchives(place)).length, objects: 0, bytes: 0 };
  for await (const { sizeBytes } of place.list('')) {
    usage.objects++;
    usage.bytes += sizeBytes;
  }
  return usage;
}
