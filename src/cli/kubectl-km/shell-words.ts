/** The commands of a shell script as words: quotes are removed, nothing is expanded. Enough to recognise a call of tar. */
export function shellWords(script: string): string[][] {
  const commands: string[][] = [];
  let words: string[] = [];
  let word: string | undefined;
  const endWord = () => {
    if (word !== undefined) words.push(word);
    word = undefined;
  };
  const endCommand = () => {
    endWord();
    if (words.length > 0) commands.push(words);
    words = [];
  };
  for (let at = 0; at < script.length; at += 1) {
    const character = script[at]!;
    if (character === '\\') {
      const next = script[++at];
      // A line that goes on.
      if (next !== '\n' && next !== undefined) word = (word ?? '') + next;
    } else if (character === "'" || character === '"') {
      const end = closing(script, at);
      word =
        (word ?? '') + script.slice(at + 1, end).replace(character === '"' ? /\\(["\\$`])/g : /(?!)/g, '$1');
      at = end;
    } else if (character === '`' || (character === '$' && '({'.includes(script[at + 1] ?? ' '))) {
      const end = character === '`' ? closing(script, at) : balanced(script, at + 1);
      word = (word ?? '') + script.slice(at, end + 1);
      at = end;
    } else if (character === '#' && word === undefined) {
      while (at + 1 < script.length && script[at + 1] !== '\n') at += 1;
    } else if (';&|\n(){}'.includes(character)) endCommand();
    else if (/\s/.test(character)) endWord();
    else word = (word ?? '') + character;
  }
  endCommand();
  return commands;
}

function closing(script: string, at: number): number {
  const quote = script[at];
  for (let end = at + 1; end < script.length; end += 1) {
    if (script[end] === '\\' && quote === '"') end += 1;
    else if (script[end] === quote) return end;
  }
  return script.length;
}

/** The end of what begins with this parenthesis or brace. */
function balanced(script: string, at: number): number {
  let depth = 0;
  for (let end = at; end < script.length; end += 1) {
    if ('({'.includes(script[end]!)) depth += 1;
    else if (')}'.includes(script[end]!) && --depth === 0) return end;
  }
  return script.length;
}
