import { expect, test } from 'vitest';
import packageJson from '../../../package.json' with { type: 'json' };
import { programFor, SUBCOMMANDS } from './commands.ts';
import type { CliContext } from './context.ts';

const context: CliContext = { env: {}, signal: new AbortController().signal, exitCode: 0 };

test('says the version of the package', async () => {
  expect((await programFor([], context)).version()).toBe(packageJson.version);
});

test.each(Object.keys(SUBCOMMANDS))('%s is loaded under its name, alone', async (name) => {
  const { commands } = await programFor([name], context);
  expect(commands.map((command) => command.name())).toEqual([name]);
});
