/** Completion, by kubectl's protocol for plugins: candidates, one a line, then a directive. */
import type { Command, Option } from 'commander';
import type { KubeObject } from '../../kube/object.ts';
import { type ResourceClient, resource } from '../../kube/resources.ts';
import { printable } from '../../log/printable.ts';
import { programFor, SUBCOMMANDS } from './commands.ts';
import { type ClusterFlags, type Connected, connect, type PluginContext } from './context.ts';
import { write } from './output.ts';

/** No names of files instead of the candidates. */
const NO_FILES = 4;
const FILES = 0;

interface Candidate {
  readonly value: string;
  readonly description?: string | undefined;
}

/** @param words What follows `kubectl km`; the last is the one to complete, and may be empty. */
export async function complete(words: readonly string[], context: PluginContext): Promise<void> {
  const current = words.at(-1) ?? '';
  const { candidates, directive } = await candidatesFor(words, context);
  for (const { value, description } of candidates.filter((one) => one.value.startsWith(current)))
    write(`${printable(value)}${description ? `\t${printable(description)}` : ''}\n`);
  write(`:${directive}\n`);
}

interface Completion {
  readonly candidates: readonly Candidate[];
  readonly directive: number;
}

const only = (candidates: readonly Candidate[]): Completion => ({ candidates, directive: NO_FILES });

async function candidatesFor(words: readonly string[], context: PluginContext): Promise<Completion> {
  const [name = '', ...rest] = words;
  if (words.length <= 1) {
    return only(Object.entries(SUBCOMMANDS).map(([value, { summary }]) => ({ value, description: summary })));
  }
  if (!Object.hasOwn(SUBCOMMANDS, name)) return only([]);
  const command = (await programFor([name], context)).commands[0]!;
  const [current = '', previous = ''] = rest.toReversed();
  if (current.startsWith('-')) {
    return only(
      command.options.map(({ long, short, description }) => ({ value: long ?? short ?? '', description })),
    );
  }
  const option = command.options.find(
    ({ long, short }) => previous !== '' && (previous === long || previous === short),
  );
  const takesValue = option && (option.required || option.optional);
  try {
    if (takesValue) return await valuesOf(option, flagsIn(command, rest), context);
    return await argumentsOf(command, rest, context);
  } catch {
    // A shell that completes has no use for an error.
    return only([]);
  }
}

const FILE_OPTIONS = new Set(['--kubeconfig', '--output-file']);

async function valuesOf(option: Option, flags: ClusterFlags, context: PluginContext): Promise<Completion> {
  if (option.argChoices) return only(option.argChoices.map((value) => ({ value })));
  switch (option.long) {
    case '--namespace':
      return only(await names(await connect(flags, context), 'namespaces'));
    case '--to':
    case '--claim':
    case '--destination-claim':
      return only(await names(await connect(flags, context), 'persistentvolumeclaims'));
    default:
      return {
        candidates: [],
        directive: FILE_OPTIONS.has(option.long ?? '') || option.long === '--output' ? FILES : NO_FILES,
      };
  }
}

/** Kinds that an argument may name. */
const KINDS: Readonly<Record<string, readonly ('schedules' | 'backups' | 'restores')[]>> = {
  schedule: ['schedules'],
  schedules: ['schedules'],
  backup: ['schedules', 'backups'],
  later: ['schedules', 'backups'],
  source: ['schedules', 'backups'],
  name: ['schedules', 'backups', 'restores'],
};

async function argumentsOf(
  command: Command,
  rest: readonly string[],
  context: PluginContext,
): Promise<Completion> {
  const given = positional(command, rest.slice(0, -1));
  const arguments_ = command.registeredArguments;
  const argument = arguments_[given.length] ?? (arguments_.at(-1)?.variadic ? arguments_.at(-1) : undefined);
  if (argument?.name() === 'file') return { candidates: [], directive: FILES };
  const kinds = KINDS[argument?.name() ?? ''];
  if (!kinds) return only([]);
  const { cluster, namespace } = await connect(flagsIn(command, rest), context);
  const lists = await Promise.all(
    kinds.map(async (kind) => {
      const client = cluster.resources[kind] as ResourceClient<KubeObject>;
      const { items } = await client.list(namespace, { attempts: 1 });
      return items.map(({ metadata }) => ({ value: metadata.name, description: kind.slice(0, -1) }));
    }),
  );
  return only(lists.flat().filter(({ value }) => !given.includes(value)));
}

async function names({ cluster, namespace }: Connected, plural: string): Promise<Candidate[]> {
  const namespaced = plural !== 'namespaces';
  const kind = resource<KubeObject>(cluster.client, {
    group: '',
    version: 'v1',
    plural,
    kind: '',
    namespaced,
  });
  const { items } = await kind.list(namespaced ? namespace : undefined, { attempts: 1 });
  return items.map(({ metadata }) => ({ value: metadata.name }));
}

/** The words that are neither options nor their values. */
function positional(command: Command, words: readonly string[]): string[] {
  const found: string[] = [];
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at]!;
    if (!word.startsWith('-')) found.push(word);
    else if (!word.includes('=') && takesNext(command, word)) at += 1;
  }
  return found;
}

function takesNext(command: Command, word: string): boolean {
  const option = command.options.find(({ long, short }) => word === long || word === short);
  return option !== undefined && (option.required || option.optional);
}

/** The flags that say which cluster and namespace. */
function flagsIn(command: Command, words: readonly string[]): ClusterFlags {
  const flags: Record<string, string> = {};
  words.forEach((word, at) => {
    const [flag = '', attached] = word.split('=', 2);
    const option = command.options.find(({ long, short }) => flag === long || flag === short);
    const value = attached ?? words[at + 1];
    if (
      option &&
      value !== undefined &&
      ['namespace', 'context', 'kubeconfig'].includes(option.attributeName())
    )
      flags[option.attributeName()] = value;
  });
  return flags;
}
