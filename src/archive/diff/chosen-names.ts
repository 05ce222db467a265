/** Patterns that limit which names are reported. */
import { compilePatterns, type Patterns } from '../create/patterns.ts';
import type { ByteString } from '../format/byte-string.ts';

export interface NamePatterns {
  /** As in .gitignore, without negation. Empty: everything. */
  readonly include?: readonly string[] | undefined;
  readonly exclude?: readonly string[] | undefined;
}

export type Chosen = (path: ByteString, isDirectory: boolean) => boolean;

/** A pattern that matches a directory matches everything below it. @returns Undefined if there are no patterns. */
export function chosenNames({ include = [], exclude = [] }: NamePatterns): Chosen | undefined {
  const [included, excluded] = [compilePatterns(include), compilePatterns(exclude)];
  if (!included && !excluded) return undefined;
  return (path, isDirectory) =>
    !(excluded && matches(excluded, path, isDirectory)) &&
    (!included || matches(included, path, isDirectory));
}

function matches(patterns: Patterns, path: ByteString, isDirectory: boolean): boolean {
  if (path === '') return false;
  if (patterns.matches(path, isDirectory)) return true;
  for (let slash = path.indexOf('/'); slash !== -1; slash = path.indexOf('/', slash + 1)) {
    if (patterns.matches(path.slice(0, slash) as ByteString, true)) return true;
  }
  return false;
}
