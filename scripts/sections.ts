/** Generated sections of hand-written pages: the text between `<!-- begin NAME -->` and `<!-- end NAME -->`. */

/** @throws {Error} when the page lacks one of the sections, or has one that is not given. */
export function withSections(page: string, sections: Readonly<Record<string, string>>): string {
  const missing = new Set(Object.keys(sections));
  const text = page.replace(
    /(<!-- begin ([\w-]+)[^>]*-->\n)[\s\S]*?(<!-- end \2 -->)/g,
    (_, begin: string, name: string, end: string) => {
      const content = sections[name];
      if (content === undefined) throw new Error(`nothing generates the section ${name}`);
      missing.delete(name);
      return `${begin}\n${content.trim()}\n\n${end}`;
    },
  );
  if (missing.size > 0) throw new Error(`the page has no section ${[...missing].join(', ')}`);
  return text;
}

/** A Markdown table; line breaks and bars in cells are escaped. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
