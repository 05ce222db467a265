/** The pages of the documentation, and what is in them. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const root = join(import.meta.dirname, '../..');

/** Paths from the root of the repository. */
export const PAGES: readonly string[] = globSync(['*.md', 'docs/**/*.md', 'deploy/**/*.md'], {
  cwd: root,
}).sort();

export const textOf = (page: string): string => readFileSync(join(root, page), 'utf8');

/** What stands below `## heading`, up to the next one. */
export function sectionOf(page: string, heading: string): string {
  const [, after] = textOf(page).split(`\n## ${heading}\n`);
  if (after === undefined) throw new Error(`${page} has no section "${heading}"`);
  return after.split('\n## ')[0]!;
}

export interface Block {
  /** What stands after the fence: the language, and what else. */
  readonly info: string;
  readonly text: string;
  readonly page: string;
  readonly line: number;
}

const FENCE = /^( *)```(.*)\n([\s\S]*?)^\1```$/gm;

/** The fenced blocks of a page, without the indentation of a list that they stand in. */
export function fencedBlocks(page: string, text = textOf(page)): Block[] {
  return [...text.matchAll(FENCE)].map(({ 1: indent = '', 2: info = '', 3: content = '', index }) => ({
    info: info.trim(),
    text: content.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
    page,
    line: text.slice(0, index).split('\n').length,
  }));
}

/** Headings as GitHub makes anchors of them: lower case, without punctuation, `-1` after one that is there already. */
export function anchorsOf(page: string): Set<string> {
  const anchors = new Set<string>();
  const text = textOf(page).replaceAll(FENCE, '');
  for (const [, heading = ''] of text.matchAll(/^#+ (.*)$/gm)) {
    const plain = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1');
    const anchor = plain
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}_\- ]/gu, '')
      .replaceAll(' ', '-');
    let unique = anchor;
    for (let count = 1; anchors.has(unique); count += 1) unique = `${anchor}-${count}`;
    anchors.add(unique);
  }
  return anchors;
}
