import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { anchorsOf, PAGES, root, textOf } from '../support/doc-pages.ts';

/** The targets of a page's links and pictures in this repository. Links inside code are none. */
function linksOf(page: string): string[] {
  const text = textOf(page)
    .replaceAll(/^ *```[\s\S]*?^ *```$/gm, '')
    .replaceAll(/`[^`\n]*`/g, '');
  const found = [...text.matchAll(/\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)"/g)];
  return found
    .map(([, link, attribute]) => (link ?? attribute)!)
    .filter((target) => !/^[a-z]+:/.test(target));
}

describe('the documentation', () => {
  it('is found', () => expect(PAGES).toContain('README.md'));

  it.each(PAGES)('%s links to pages and headings that exist', (page) => {
    for (const link of linksOf(page)) {
      const [path, heading] = link.split('#');
      const target = path ? join(dirname(page), path) : page;
      expect([link, existsSync(join(root, target))]).toEqual([link, true]);
      if (heading) expect([link, anchorsOf(target).has(heading)]).toEqual([link, true]);
    }
  });

  it.each(PAGES)('%s names npm scripts and files of this repository that exist', (page) => {
    const { scripts } = JSON.parse(textOf('package.json'));
    const text = textOf(page);
    for (const [, name] of text.matchAll(/npm run ([a-z][a-z0-9:-]*)/g))
      expect(Object.keys(scripts)).toContain(name);
    for (const [, path] of text.matchAll(/`((?:deploy|charts|crds|docs|src|test|scripts|bin)\/[\w./-]+)`/g)) {
      expect([path, existsSync(join(root, path!))]).toEqual([path, true]);
    }
  });

  it('has each of its pages on the map', () => {
    const reached = new Set(linksOf('docs/README.md').map((link) => join('docs', link.split('#')[0]!)));
    const wanted = PAGES.filter((page) => /^docs\/[^/]+\.md$/.test(page) && page !== 'docs/README.md');
    expect(wanted.filter((page) => !reached.has(page))).toEqual([]);
  });
});
