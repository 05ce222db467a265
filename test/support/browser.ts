/** Debian's Chromium without a window, and what a page does in it that it should not. */
import { existsSync } from 'node:fs';
import { type Browser, chromium, type Page } from 'playwright-core';

const PROGRAMS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

export function launchBrowser(): Promise<Browser> {
  const executablePath = PROGRAMS.find((program) => existsSync(program));
  if (executablePath === undefined) throw new Error(`no Chromium among ${PROGRAMS.join(', ')}`);
  // Tests run as root, where Chromium has no sandbox.
  return chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
}

/** Everything that a page must not cause. */
export interface Complaints {
  readonly console: string[];
  readonly violations: string[];
  readonly requests: string[];
  readonly dialogs: string[];
}

/** Notes what the page complains about, and requests to anywhere but `origin`. Call it before the page is opened. */
export async function watchPage(page: Page, origin: string): Promise<Complaints> {
  const complaints: Complaints = { console: [], violations: [], requests: [], dialogs: [] };
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.console.push(message.text());
  });
  page.on('pageerror', (error) => complaints.console.push(String(error)));
  page.on('dialog', (dialog) => {
    complaints.dialogs.push(dialog.message());
    dialog.dismiss().catch(() => {});
  });
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== origin) complaints.requests.push(request.url());
  });
  await page.exposeFunction('noteViolation', (text: string) => complaints.violations.push(text));
  // As text: these lines run in the browser, whose types this project does not know.
  await page.addInitScript(
    'document.addEventListener("securitypolicyviolation", (event) => noteViolation(event.violatedDirective + ": " + event.blockedURI + " " + event.sample))',
  );
  return complaints;
}
