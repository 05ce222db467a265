/** Whether the commands in the documentation are ones that the programs would take. */
import type { Command } from 'commander';
import { parse } from 'yaml';
import { programFor } from '../../src/cli/km-backup/commands.ts';
import type { CliContext } from '../../src/cli/km-backup/context.ts';
import { programFor as pluginFor } from '../../src/cli/kubectl-km/commands.ts';
import type { PluginContext } from '../../src/cli/kubectl-km/context.ts';
import { shellWords } from '../../src/cli/kubectl-km/shell-words.ts';
import { operatorCommand } from '../../src/cli/operator/arguments.ts';
import { crdsCommand } from '../../src/cli/operator/crds.ts';
import type { Block } from './doc-pages.ts';
import { textOf } from './doc-pages.ts';

const HEREDOC = /<<-?\s*(['"]?)(\w+)\1([^\n]*)\n([\s\S]*?)\n\s*\2(?=\n|$)/g;

/** The script of a block: of a `console` block, what stands after the prompts. */
export function scriptOf({ info, text }: Block): string {
  if (!info.startsWith('console')) return text;
  const lines: string[] = [];
  let continued = false;
  for (const line of text.split('\n')) {
    if (continued || line.startsWith('$ ')) {
      lines.push(line.replace(/^\$ /, ''));
      continued = line.endsWith('\\');
    }
  }
  return lines.join('\n');
}

/** What a script passes to its commands as here-documents. */
export const heredocsOf = (script: string): string[] =>
  [...script.matchAll(HEREDOC)].map(({ 4: content }) => content!);

/** The commands of a script as words, without assignments before them and without redirections. */
export function commandsOf(script: string): string[][] {
  return shellWords(script.replaceAll(HEREDOC, '$3'))
    .map((words) => {
      const first = words.findIndex((word) => !/^[A-Za-z_]\w*=/.test(word));
      return first < 0 ? [] : withoutRedirections(words.slice(first));
    })
    .filter((words) => words.length > 0);
}

function withoutRedirections(words: readonly string[]): string[] {
  const kept: string[] = [];
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at]!;
    if (/^\d?[<>]/.test(word)) {
      if (/^\d?[<>]+$/.test(word)) at += 1;
    } else kept.push(word);
  }
  return kept;
}

/** Why the programs of this repository would refuse the command; nothing if it is one of another program. */
export async function problemsOf(words: readonly string[]): Promise<string[]> {
  const at = words.findIndex(
    (word, index) =>
      /(^|\/)(km-backup|km-backup-operator|kubectl|helm)$/.test(word) &&
      (index === 0 || /^(--|exec|sudo|env)$/.test(words[index - 1]!)),
  );
  if (at < 0) return [];
  const name = words[at]!.split('/').at(-1)!;
  const rest = words.slice(at + 1);
  const context: CliContext & PluginContext = {
    env: {},
    signal: new AbortController().signal,
    exitCode: 0,
    onEnd: [],
  };
  if (name === 'km-backup') return check(await programFor(rest, context), rest);
  if (name === 'kubectl')
    return rest[0] === 'km' ? check(await pluginFor(rest.slice(1), context), rest.slice(1)) : [];
  if (name === 'helm') return unknownValues(rest);
  return rest[0] === 'crds' ? check(crdsCommand(), rest.slice(1)) : check(operatorCommand(), rest);
}

function check(command: Command, args: readonly string[]): string[] {
  if (args.some((arg) => /^(-h|--help|-V|--version)$/.test(arg))) return [];
  const [first = ''] = args;
  const inner = command.commands.find((each) => each.name() === first);
  if (inner) return check(inner, args.slice(1));
  if (command.commands.length > 0 && /^[a-z]/.test(first))
    return [`${command.name()} has no command ${first}`];
  // "km-backup extract …" in a sentence stands for any arguments.
  if (args.includes('…')) return [];
  try {
    command.configureOutput({ outputError: () => {} });
    const { operands, unknown } = command.parseOptions([...args]);
    const [option] = unknown;
    if (option?.startsWith('-')) return [`${command.name()} has no option ${option}`];
    return wrongCount(command, [...operands, ...unknown].filter((word) => word !== '--').length);
  } catch (error) {
    return [`${command.name()}: ${(error as Error).message}`];
  }
}

function wrongCount(command: Command, given: number): string[] {
  const expected = command.registeredArguments;
  const least = expected.filter(({ required }) => required).length;
  const most = expected.some(({ variadic }) => variadic) ? Number.POSITIVE_INFINITY : expected.length;
  return given < least || given > most
    ? [`${command.name()} takes ${least} to ${most} arguments, not ${given}`]
    : [];
}

/** Names of `--set` that the chart of this repository does not have. */
function unknownValues(words: readonly string[]): string[] {
  if (!words.some((word) => word.endsWith('charts/km-backup-operator'))) return [];
  const set = words.flatMap((word, at) => (/^--set(-string)?$/.test(words[at - 1] ?? '') ? [word] : []));
  return set.flatMap((assignment) =>
    hasValue(assignment.split('=')[0]!) ? [] : [`the chart has no value ${assignment.split('=')[0]}`],
  );
}

/** Whether the chart has the value `a.b`. Below a free-form map, everything exists. */
export function hasValue(name: string): boolean {
  let value: unknown = parse(textOf('charts/km-backup-operator/values.yaml'));
  for (const part of name.split('.')) {
    if (typeof value !== 'object' || value === null) return false;
    if (Object.keys(value).length === 0) return true;
    if (!Object.hasOwn(value, part)) return false;
    value = (value as Record<string, unknown>)[part];
  }
  return true;
}
