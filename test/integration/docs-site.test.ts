import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { beforeAll, expect, test } from 'vitest';

const root = path.join(import.meta.dirname, '../..');
const dist = path.join(root, 'site/dist');

// The generator itself refuses dead links.
beforeAll(() => {
  fs.rmSync(dist, { recursive: true, force: true });
  execFileSync('npm', ['run', 'docs'], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
}, 600_000);

test('every page of the documentation becomes a page of the site', () => {
  const pages = fs
    .globSync('docs/**/*.md', { cwd: root })
    .map((page) => page.replace(/README\.md$/, 'index.md'));
  const missing = pages.filter((page) => !fs.existsSync(path.join(dist, page.replace(/\.md$/, '.html'))));
  expect([pages.length > 40, missing]).toEqual([true, []]);
});

test('every picture that a page shows is in it or next to it', () => {
  for (const page of fs.globSync('docs/**/*.html', { cwd: dist })) {
    const html = fs.readFileSync(path.join(dist, page), 'utf8');
    for (const [, source] of html.matchAll(/<img [^>]*src="([^"]*)"/g)) {
      const isThere = source!.startsWith('data:image/') || fs.existsSync(path.join(dist, source!));
      expect([page, source!.slice(0, 80), isThere]).toEqual([page, source!.slice(0, 80), true]);
    }
  }
});

test('no page takes anything from another server', () => {
  for (const page of fs.globSync('**/*.html', { cwd: dist })) {
    const html = fs.readFileSync(path.join(dist, page), 'utf8');
    expect([page, html.match(/<(script|img|link)\b[^>]*(src|href)="https?:[^"]*"/g)]).toEqual([page, null]);
  }
});
