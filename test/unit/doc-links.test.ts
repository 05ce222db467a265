import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');
const pages = globSync(['*.md', 'docs/**/*.md', 'deploy/**/*.md'], { cwd: root });

/** The targets of a page's links into this repository. */
function linksOf(page: string): string[] {
  const text = readFileSync(join(root, page), 'utf8');
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target]) => target!)
    .filter((target) => !/^[a-z]+:/.test(target));
}

describe('the documentation', () => {
  it('is found', () => expect(pages).toContain('README.md'));

  it.each(pages)('%s links to pages and headings that exist', (page) => {
    for (const link of linksOf(page)) {
      const [path, heading] = link.split('#');
      const target = path ? join(root, dirname(page), path) : join(root, page);
      expect([link, existsSync(target)]).toEqual([link, true]);
      if (!heading) continue;
      const headings = [...readFileSync(target, 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, text]) =>
        text!
          .toLowerCase()
          .replace(/[^\w\- ]/g, '')
          .replaceAll(' ', '-'),
      );
      expect(headings).toContain(heading);
    }
  });

  it.each(pages)('%s names npm scripts and files of this repository that exist', (page) => {
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    const text = readFileSync(join(root, page), 'utf8');
    for (const [, name] of text.matchAll(/npm run ([a-z][a-z0-9:]*)/g))
      expect(Object.keys(scripts)).toContain(name);
    for (const [, path] of text.matchAll(/`((?:deploy|charts|crds|docs|src|test|scripts|bin)\/[\w./-]+)`/g)) {
      expect([path, existsSync(join(root, path!))]).toEqual([path, true]);
    }
  });
});
