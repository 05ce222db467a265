import { createHash } from 'node:crypto';
import type { HttpAnswer } from '../health/index.ts';
import { type Html, html, markup } from './html.ts';
import { symbols } from './outcome.ts';
import { SCRIPT } from './script.ts';
import { STYLE } from './style.ts';

const digest = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** Nothing may be loaded but the icon, nothing may run but the script that is in the page. */
export const POLICY = [
  "default-src 'none'",
  `style-src ${digest(STYLE)}`,
  `script-src ${digest(SCRIPT)}`,
  "img-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** Of every answer of the page, `/status.json` too. */
export const HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy': POLICY,
  'referrer-policy': 'no-referrer',
  'x-frame-options': 'DENY',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
};

const style = markup(STYLE);
const script = markup(SCRIPT);

export interface Page {
  readonly status?: number;
  readonly title: string;
  readonly header: Html;
  readonly main: Html;
  /** Query of the same data as JSON. */
  readonly json: string;
}

/** A whole document. Links are relative, so that it works below any path of a proxy. */
export function documentOf({ status = 200, title, header, main, json }: Page): HttpAnswer {
  const { text } = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<link rel="icon" href="favicon.svg" type="image/svg+xml">
<style>${style}</style>
</head>
<body>
<a class="skip" href="#main">Skip to content</a>
${symbols}
<header>${header}</header>
<main id="main" tabindex="-1">${main}</main>
<footer><p>Times are in UTC. This page only shows: it changes nothing. <span class="links">The same as <a href="status.json${json}">JSON</a>; metrics are at <a href="metrics">/metrics</a>.</span></p></footer>
<script>${script}</script>
</body>
</html>
`;
  return { status, contentType: 'text/html; charset=utf-8', headers: HEADERS, body: text };
}

export const FAVICON =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#0b57b0"/><path d="M8 11h16v12H8zM7 7h18v4H7zM13 15h6" fill="none" stroke="#fff" stroke-width="2.2" stroke-linejoin="round" stroke-linecap="round"/></svg>\n';
