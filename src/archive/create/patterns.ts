import type { ByteString } from '../format/byte-string.ts';
import { fromText } from '../format/byte-string.ts';

/**
 * Patterns as in .gitignore, without negation: `*` and `?` stay within a name, `**` crosses names, `[a-z]`
 * is a class, `\` takes the next character literally. A pattern with a slash at its start or inside is relative to
 * the root; any other matches a name at every depth. A pattern with a slash at its end matches directories only.
 */
export interface Patterns {
  matches(path: ByteString, isDirectory: boolean): boolean;
}

export function compilePatterns(patterns: readonly string[]): Patterns | undefined {
  const both: string[] = [];
  const directories: string[] = [];
  for (const pattern of patterns) {
    let body = fromText(pattern) as string;
    if (body === '') continue;
    const directoryOnly = body.endsWith('/');
    if (directoryOnly) body = body.slice(0, -1);
    const anchored = body.includes('/');
    if (body.startsWith('./')) body = body.slice(1);
    if (body.startsWith('/')) body = body.slice(1);
    const source = `${anchored ? '' : '(?:.*/)?'}${translate(body)}`;
    (directoryOnly ? directories : both).push(source);
  }
  if (both.length + directories.length === 0) return undefined;
  const any = union(both);
  const directory = union([...both, ...directories]);
  return { matches: (path, isDirectory) => (isDirectory ? directory : any).test(path) };
}

function union(sources: readonly string[]): RegExp {
  return sources.length === 0 ? /(?!)/ : new RegExp(`^(?:${sources.join('|')})$`, 's');
}

/** One character of a name as UTF-8 bytes, or a stray byte. */
const character = '(?:[\\xc0-\\xff][\\x80-\\xbf]+|[^/])';

function translate(glob: string): string {
  let source = '';
  for (let i = 0; i < glob.length; ) {
    const rest = glob.slice(i);
    const token =
      /^\*\*\/|^\/\*\*$|^\*+|^\?|^\[[!^]?\]?(?:\\.|[^\]/\\])*\]|^\\./s.exec(rest)?.[0] ?? rest.charAt(0);
    source += translateToken(token, i === 0);
    i += token.length;
  }
  return source;
}

function translateToken(token: string, first: boolean): string {
  if (token === '**/') return '(?:.*/)?';
  if (token === '/**') return '/.+';
  if (token === '**' && first) return '.*';
  if (token.startsWith('*')) return token === '**' ? '.*' : '[^/]*';
  if (token === '?') return character;
  if (token.startsWith('[') && token.length > 1) {
    const negated = token[1] === '!' || token[1] === '^';
    const inner = token.slice(negated ? 2 : 1, -1).replace(/[[\]^]|\\(?!.)/gs, '\\$&');
    return negated ? `[^/${inner}]` : `[${inner}]`;
  }
  const literal = token.length === 2 && token.startsWith('\\') ? token.charAt(1) : token;
  return literal.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&');
}
