/** The documentation as a static site: the pages of the repository as they are, with search. `npm run docs` builds it. */
import { cpSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitepress';
import { sidebarOf } from './sidebar.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const site = join(root, 'site');
const MAP = 'docs/README.md';
const WIDE = /^docs\/(api-reference|chart-values|metrics|comparison|benchmarks-.*)\.md$/;
/** Files that pages link to and that are not pages: the site has them under the same path. */
const linked = new Set();

export default defineConfig({
  title: 'km-backup',
  description: 'Backups of PersistentVolumeClaims as plain archives, with copies, restores and drills',
  srcDir: '..',
  srcExclude: ['{site,test,bench,src,charts,scripts,crds,node_modules,coverage,dist}/**', '.*/**'],
  outDir: './dist',
  cacheDir: './.cache',
  // Addresses of the reader's own machine.
  ignoreDeadLinks: [/^https?:\/\/localhost/],
  // Each folder's README is its index.
  rewrites: (page) => page.replace(/(^|\/)README\.md$/, '$1index.md'),
  vite: { plugins: [vueOfThisPackage()] },
  markdown: {
    anchor: { slugify },
    config(md) {
      md.core.ruler.push('repository-links', ({ tokens, env }) => {
        for (const { children } of tokens)
          for (const token of children ?? []) if (token.type === 'link_open') adaptLink(token, env);
      });
      // Templates of Helm and Alertmanager are text, not of Vue.
      md.renderer.rules.text = (tokens, index) =>
        md.utils.escapeHtml(tokens[index].content).replaceAll('{{', '&#123;&#123;');
      // Long names of fields and paths break where they have a joint.
      md.renderer.rules.code_inline = (tokens, index) => {
        const code = md.utils.escapeHtml(tokens[index].content).replaceAll(/\w[./](?=\w)/g, '$&<wbr>');
        return `<code v-pre>${code}</code>`;
      };
      const image = md.renderer.rules.image;
      md.renderer.rules.image = (tokens, index, options, env, self) => {
        const token = tokens[index];
        const src = token.attrGet('src');
        return src.endsWith('.svg')
          ? drawing(join(root, folderOf(env), src), md.utils.escapeHtml(token.content))
          : image(tokens, index, options, env, self);
      };
    },
  },
  // Pages that are wide tables have the whole width.
  transformPageData({ relativePath, frontmatter }) {
    if (WIDE.test(relativePath)) frontmatter.aside = false;
  },
  themeConfig: {
    search: { provider: 'local' },
    nav: [
      { text: 'Tutorial', link: '/docs/tutorial' },
      { text: 'Something is lost', link: '/docs/restore' },
      { text: 'All pages', link: '/docs/' },
    ],
    sidebar: sidebarOf(readFileSync(join(root, MAP), 'utf8'), dirname(MAP)),
    outline: { level: [2, 3] },
    docFooter: { prev: false, next: false },
  },
  buildEnd({ outDir }) {
    for (const file of linked) cpSync(join(root, file), join(outDir, file));
  },
});

/** The pages lie outside of this package, and import Vue: it is looked for here. */
function vueOfThisPackage() {
  return {
    name: 'vue-of-this-package',
    enforce: 'pre',
    resolveId(id, importer, options) {
      if (!/^vue(\/|$)/.test(id)) return undefined;
      if (options.ssr) return { id, external: true };
      if (importer?.startsWith(site)) return undefined;
      return this.resolve(id, join(site, 'package.json'), { ...options, skipSelf: true });
    },
  };
}

/** As GitHub makes anchors of headings, so that links to them work in both places. */
function slugify(heading) {
  return heading
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}_\- ]/gu, '')
    .replaceAll(' ', '-');
}

/** Folder of a page, from the root of the repository. */
const folderOf = ({ path, realPath }) => dirname(relative(root, realPath ?? path));

function adaptLink(token, env) {
  const href = token.attrGet('href');
  if (/^([a-z]+:|#|\/)/.test(href)) return;
  const [path, anchor] = href.split('#');
  if (path.endsWith('.md')) {
    const page = path.replace(/(^|\/)README\.md$/, '$1index.md');
    token.attrSet('href', anchor === undefined ? page : `${page}#${anchor}`);
    return;
  }
  const file = join(folderOf(env), path);
  if (!statSync(join(root, file)).isFile())
    throw new Error(`${env.path} links to ${href}, which is neither a page nor a file`);
  linked.add(file);
  token.attrSet('target', '_self');
}

/**
 * A drawing that follows the system's scheme: here the reader may choose another, so there is one for each. Pictures
 * of terminals look the same in both.
 */
function drawing(file, alt) {
  const svg = readFileSync(file, 'utf8');
  const dark = /@media \(prefers-color-scheme: dark\) \{ (svg \{[^}]*\}) \}/;
  const image = (scheme, text) =>
    `<img class="${scheme}" alt="${alt}" src="data:image/svg+xml;base64,${Buffer.from(text).toString('base64')}">`;
  if (!dark.test(svg)) return `<span class="drawing">${image('terminal', svg)}</span>`;
  return `<span class="drawing">${image('light-only', svg.replace(dark, ''))}${image('dark-only', svg.replace(dark, '$1'))}</span>`;
}
