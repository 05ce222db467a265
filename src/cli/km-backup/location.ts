import { writeFileSync } from 'node:fs';
import { Command } from 'commander';
import { ArchiveError } from '../../archive/index.ts';
import { codeOf } from '../../posix/system-error.ts';
import type { CliContext } from './context.ts';
import { addLocationFlags, LOCATION_HELP, type LocationFlags, openAt } from './location-flags.ts';
import { print, say, warn } from './output.ts';

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
      .argument('<location>', LOCATION_HELP),
  ).action(async (url: string, flags: LocationFlags) => {
    const { checkLocation } = await import('../../offsite/index.ts');
    const place = await openAt(url, flags, context);
    const { id, deleteRefused } = await checkLocation(place);
    const verbs =
      deleteRefused === undefined ? 'Writing, reading, listing and deleting' : 'Writing, reading and listing';
    print(`${place.url}: location ${id}. ${verbs} work.`);
    if (deleteRefused !== undefined) {
      warn(`${deleteRefused} Copies can be made, but not removed, as long as that is so.`);
    }
  });
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
      print(recipient);
      say(
        `The identity is in ${output}. Keep it off the cluster, and keep it safe: without it no encrypted copy can be read.`,
      );
    });
  return location;
}
