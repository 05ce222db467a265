import { existsSync } from 'node:fs';
import path from 'node:path';
import { Command } from 'commander';
import { ArchiveError, approveArchive, lockDestination, suspicionOf } from '../../archive/index.ts';
import { type CliContext, DESTINATION_HELP, existingDirectory, requiredDestination } from './context.ts';
import { addLocationFlags, isLocation, LOCATION_HELP, type LocationFlags } from './location-flags.ts';
import { wholeNumber } from './option-values.ts';
import { print } from './output.ts';

interface Flags extends LocationFlags {
  readonly destination?: string;
  readonly series?: string;
  readonly lockWait: number;
}

export function command(context: CliContext): Command {
  const approve = new Command('approve')
    .description('approve a suspicious archive: retention, which removed nothing because of it, goes on')
    .argument('<archive...>', `name or path of the archive; before it ${LOCATION_HELP} to approve a copy`)
    .option('--destination <dir>', DESTINATION_HELP)
    .option('--series <series>', 'series of the copy, if the location has several')
    .option('--lock-wait <seconds>', 'wait this long for a run to end', wholeNumber, 60);
  return addLocationFlags(approve).action((given: string[], flags: Flags) => run(given, flags, context));
}

async function run(given: readonly string[], flags: Flags, context: CliContext): Promise<void> {
  const [first] = given;
  if (isLocation(first)) {
    if (given.length < 2) throw new ArchiveError('Usage', 'Name the archive after the location.');
    const { approveCopy } = await import('./on-location.ts');
    for (const name of given.slice(1)) await approveCopy(first, name, flags, context);
    return;
  }
  for (const name of given) {
    const file = name.includes('/')
      ? name
      : path.join(existingDirectory(requiredDestination(context, flags.destination)), name);
    if (!existsSync(file)) throw new ArchiveError('ArchiveMissing', `${file} does not exist.`);
    using _lock = await lockDestination(path.dirname(file), flags.lockWait * 1000, context.signal);
    print(outcomeOf(name, approveArchive(file, new Date()), suspicionOf(file)?.approvedAt));
  }
}

function outcomeOf(name: string, isNew: boolean, approvedAt: string | undefined): string {
  if (isNew) return `Approved ${name}.`;
  return approvedAt === undefined ? `${name} is not suspicious.` : `${name} was approved at ${approvedAt}.`;
}
