/** What commands print: tables for people, objects for programs. */
import { styleText } from 'node:util';
import { type Command, Option } from 'commander';
import { escapeJson } from '../../log/printable.ts';
import { type Column, fittedTable } from '../km-backup/fitted-table.ts';
import type { PluginContext } from './context.ts';

export type Format = 'wide' | 'json' | 'yaml' | 'name';

export interface OutputFlags {
  readonly output?: Format;
  readonly headers: boolean;
}

/** `wide` and headers are for commands that print a table. */
export function addOutputFlags(command: Command, formats: readonly Format[]): Command {
  command.addOption(new Option('-o, --output <format>', 'another form of output').choices(formats));
  return formats.includes('wide')
    ? command.option('--no-headers', 'no first line with the names of the columns')
    : command;
}

/** Columns of the terminal; undefined elsewhere, unless `COLUMNS` says how many. */
export function roomOf({ env }: PluginContext): number | undefined {
  const wanted = Number(env['COLUMNS']);
  return process.stdout.columns ?? (wanted > 0 ? wanted : undefined);
}

export function write(text: string): void {
  process.stdout.write(text);
}

/** Values for programs: JSON or YAML, with what does not print escaped. */
export async function writeData(format: 'json' | 'yaml', value: unknown): Promise<void> {
  if (format === 'json') return write(escapeJson(`${JSON.stringify(value, null, 2)}\n`));
  const { yamlOf } = await import('./yaml.ts');
  write(yamlOf(value));
}

/** Lines of `kind.group/name`, as `kubectl get -o name` prints them. */
export function writeNames(resource: string, names: readonly string[]): void {
  for (const name of names) write(`${resource}/${name}\n`);
}

export function writeTable(columns: readonly Column[], flags: OutputFlags, context: PluginContext): void {
  const room = flags.output === 'wide' ? undefined : roomOf(context);
  write(fittedTable(columns, room, { headers: flags.headers }));
}

type Colour = 'red' | 'yellow' | 'green' | 'dim' | 'bold';

/** Colours text on a terminal, unless NO_COLOR is set. */
export function paint(colour: Colour, text: string): string {
  return styleText(colour, text, { stream: process.stdout });
}

/** `4m`, `3h12m`, `2d`: as kubectl shows ages. `-` for a time that was none. */
export function age(ms: number): string {
  if (Number.isNaN(ms)) return '-';
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8 && minutes % 60 > 0) return `${hours}h${minutes % 60}m`;
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  return days < 8 && hours % 24 > 0 ? `${days}d${hours % 24}h` : `${days}d`;
}

/** How long ago; `-` for a time that is not known. */
export function ago(time: string | undefined, nowMs: number): string {
  return time === undefined ? '-' : age(nowMs - Date.parse(time));
}

/** `in 3h`, or `now` for one that has passed. */
export function ahead(time: string | undefined, nowMs: number): string {
  if (time === undefined) return '-';
  const ms = Date.parse(time) - nowMs;
  if (Number.isNaN(ms)) return '-';
  return ms <= 0 ? 'now' : `in ${age(ms)}`;
}
