/** The status page in a real browser, and served by the operator of a real API server. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import axe from 'axe-core';
import type { Browser, BrowserContextOptions, Locator, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest';
import { type RunningServer, startHttpServer } from '../../src/health/index.ts';
import { type Overview, overviewOfResources, type Records } from '../../src/overview/index.ts';
import { pageRoutes } from '../../src/page/index.ts';
import { backupScene, largeScene, SCENE_NOW } from '../support/backup-scene.ts';
import { type Complaints, launchBrowser, watchPage } from '../support/browser.ts';
import { eventually } from '../support/kubectl.ts';
import { OperatorScene } from '../support/operator-scene.ts';

let browser: Browser;
const servers: RunningServer[] = [];
beforeAll(async () => {
  browser = await launchBrowser();
});
afterEach(async () => {
  for (const context of browser.contexts()) await context.close();
  for (const server of servers.splice(0)) await server.close();
});
afterAll(() => browser?.close());

/** Serves these resources; the address. */
async function serve(records: Records): Promise<string> {
  const overview = overviewOfResources(records, SCENE_NOW);
  const routes = pageRoutes({ subject: 'Backups', overview: () => overview, monotonic: () => 0 });
  const server = await startHttpServer({ host: '127.0.0.1', port: 0, routes });
  servers.push(server);
  return server.url;
}

/** What `/status.json` answers. */
const statusOf = async (address: string, query = ''): Promise<Overview> =>
  (await (await fetch(`${address}/status.json${query}`)).json()) as Overview;

async function open(
  address: string,
  options: BrowserContextOptions = {},
): Promise<{ page: Page; complaints: Complaints }> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const complaints = await watchPage(page, new URL(address).origin);
  await page.goto(address);
  return { page, complaints };
}

/** Clicks on what leads to another page, and waits until all of that is there. */
async function follow(page: Page, what: Locator): Promise<void> {
  await Promise.all([page.waitForEvent('load'), what.click()]);
}

const NOTHING: Complaints = { console: [], violations: [], requests: [], dialogs: [] };
const DETAIL = '/?namespace=shop&schedule=orders-db';
const texts = (page: Page, selector: string) => page.locator(selector).allInnerTexts();

describe('what the page shows', () => {
  test('all schedules, the worst first, with what to do', async () => {
    const { page, complaints } = await open(await serve(backupScene()));
    expect(await page.title()).toBe('(4) Backups');
    expect(await page.locator('.verdict').textContent()).toBe('4 of 14 schedules need attention.');
    const names = await texts(page, 'table.schedules td.name a');
    expect(names).toHaveLength(14);
    expect(names.slice(0, 4)).toEqual([
      'platform/registry',
      'shop/orders-db',
      'knowledge/vectors',
      'shop/media',
    ]);
    const findings = await texts(page, '.findings > li');
    expect(findings[1]).toContain('The destination is full');
    expect(findings[1]).toContain('What to do: Enlarge the claim, or lower spec.retention.limit');
    expect(await page.locator('svg.mini').first().getAttribute('aria-label')).toContain('succeeded');
    expect(await texts(page, 'h2')).toEqual([
      'Needs attention',
      'Schedules',
      'Restores',
      'Locations of copies',
      'Coverage',
    ]);
    expect(complaints).toEqual(NOTHING);
  });

  test('one schedule, reached by its link: runs, sizes, copies', async () => {
    const { page, complaints } = await open(await serve(backupScene()));
    await follow(page, page.locator('table.schedules a', { hasText: 'orders-db' }));
    expect(await page.locator('h1').textContent()).toBe('shop/orders-db');
    expect(await texts(page, 'h2')).toEqual([
      'What to know',
      'At a glance',
      'Timeline',
      'Sizes of archives',
      'Copies',
      'Restores',
      'Runs',
    ]);
    expect(await page.locator('.calendar path.c-bad').count()).toBe(2);
    expect(await page.locator('.calendar path.c-ok title').first().textContent()).toContain('Succeeded');
    expect(await page.locator('.sizes circle').count()).toBe(118);
    await page.getByText('All 120 runs').click();
    expect(await page.locator('table[aria-labelledby=runs] tbody tr').count()).toBe(120);
    expect(complaints).toEqual(NOTHING);
  });

  test('a schedule that does not exist', async () => {
    const address = await serve(backupScene());
    expect((await fetch(`${address}/?namespace=shop&schedule=none`)).status).toBe(404);
    expect((await fetch(`${address}/status.json?schedule=none`)).status).toBe(404);
    const { page } = await open(`${address}/?schedule=%3Cb%3E`);
    expect(await page.locator('h1').textContent()).toBe('There is no such schedule');
  });

  test('a search by request, without scripts', async () => {
    const address = await serve(backupScene());
    const { page } = await open(address, { javaScriptEnabled: false });
    await page.getByLabel('Find').fill('nospace elsewhere');
    await follow(page, page.getByRole('button', { name: 'Show' }));
    expect(await page.locator('.empty').textContent()).toContain('No schedule matches.');
    await page.getByLabel('Find').fill('nospace FULL');
    await follow(page, page.getByRole('button', { name: 'Show' }));
    expect(await texts(page, 'table.schedules td.name a')).toEqual(['shop/orders-db']);
    await page.goto(`${address}/?health=Suspended`);
    expect(await texts(page, 'table.schedules td.name a')).toEqual(['home/minecraft']);
    await page.goto(`${address}/?namespace=ci`);
    expect(await texts(page, 'table.schedules td.name a')).toEqual(['ci/build-cache']);
  });

  test('rows are filtered while one types', async () => {
    const { page } = await open(await serve(backupScene()));
    await page.getByLabel('Find').pressSequentially('home ok');
    expect(await texts(page, 'table.schedules tbody tr:visible td.name a')).toEqual([
      'home/home-assistant',
      'home/paperless',
      'home/photos',
    ]);
    expect(await page.locator('output').textContent()).toBe('3 of 14 shown');
  });

  test('nothing at all', async () => {
    const { page, complaints } = await open(
      await serve({ schedules: [], backups: [], restores: [], claims: [] }),
    );
    expect(await page.locator('.verdict').textContent()).toBe('There are no schedules yet.');
    expect(complaints).toEqual(NOTHING);
  });

  test('a thousand schedules, in pages', async () => {
    const address = await serve(largeScene(1000));
    const { page, complaints } = await open(address);
    expect(await page.locator('table.schedules tbody tr').count()).toBe(200);
    await follow(page, page.getByRole('link', { name: 'Next page' }));
    expect(await page.locator('.pages span').textContent()).toBe('Page 2 of 5');
    await page.getByLabel('Find').fill('volume-0777');
    await follow(page, page.getByRole('button', { name: 'Show' }));
    expect(await texts(page, 'table.schedules td.name a')).toEqual(['team-02/volume-0777']);
    expect(complaints).toEqual(NOTHING);
  });

  test('the same as JSON', async () => {
    const address = await serve(backupScene());
    expect(await statusOf(address)).toEqual(
      JSON.parse(JSON.stringify(overviewOfResources(backupScene(), SCENE_NOW))),
    );
    const { schedules } = await statusOf(address, '?health=Failed');
    expect(schedules.map(({ name }) => name)).toEqual(['orders-db']);
  });
});

describe('safety', () => {
  test.each(['/', '/status.json', DETAIL, '/favicon.svg'])('the headers of %s', async (path) => {
    const { status, headers } = await fetch(`${await serve(backupScene())}${path}`);
    expect(status).toBe(200);
    const policy = headers.get('content-security-policy')!.split('; ');
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy.join()).not.toContain('unsafe');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('referrer-policy')).toBe('no-referrer');
    expect(headers.get('cache-control')).toBe('no-store');
  });

  test.each(['POST', 'PUT', 'DELETE', 'PATCH'])('%s is refused', async (method) => {
    expect((await fetch(await serve(backupScene()), { method })).status).toBe(405);
  });

  test('markup in names and messages stays text', async () => {
    const hostile = `"'></title></style></script></svg><script>alert(1)</script><img src=//elsewhere.example/x onerror=alert(2)><form action=//elsewhere.example>\u202e\u001b[31m`;
    const scene = backupScene();
    for (const schedule of scene.schedules) {
      schedule.metadata.name += hostile;
      schedule.metadata.namespace += hostile;
      schedule.spec.source.persistentVolumeClaim.claimName += hostile;
      for (const condition of schedule.status?.conditions ?? []) condition.message += hostile;
      for (const copy of schedule.status?.copies ?? []) copy.message = hostile;
    }
    for (const { metadata, spec, status } of scene.backups) {
      metadata.name += hostile;
      metadata.namespace += hostile;
      spec.scheduleName += hostile;
      Object.assign(status!, { message: hostile, reason: hostile });
    }
    for (const restore of scene.restores)
      Object.assign(restore.status!, { message: hostile, reason: hostile });
    for (const location of scene.locations!) location.status!.url = `javascript:alert(3)//${hostile}`;
    for (const { metadata } of scene.claims!) metadata.name += hostile;
    const address = await serve(scene);
    const { page, complaints } = await open(address);
    expect(await page.locator('table.schedules td.name a').first().textContent()).toContain('<script>');
    expect(await page.content()).not.toContain('\u202e');
    await follow(page, page.locator('table.schedules a', { hasText: 'orders-db' }).first());
    expect(await page.locator('h1').textContent()).toContain('<script>alert(1)</script>');
    expect(await page.locator('form, img, iframe, object, embed').count()).toBe(0);
    await page.goto(`${address}/?q=${encodeURIComponent(hostile)}&namespace=${encodeURIComponent(hostile)}`);
    expect(complaints).toEqual(NOTHING);
  });
});

describe('for everyone', () => {
  const views = [
    ['all schedules', '/'],
    ['one schedule', DETAIL],
    ['copies that fail', '/?namespace=shop&schedule=media'],
  ] as const;

  test.each(
    views.flatMap(([name, path]) =>
      (['light', 'dark'] as const).flatMap((colorScheme) =>
        [360, 1280].map((width) => ({ name, path, colorScheme, width })),
      ),
    ),
  )('axe finds nothing: $name, $colorScheme, $width px', async ({ path, colorScheme, width }) => {
    const address = await serve(backupScene());
    const { page } = await open(`${address}${path}`, { colorScheme, viewport: { width, height: 800 } });
    await page.evaluate(axe.source);
    const { violations } = (await page.evaluate('axe.run()')) as axe.AxeResults;
    expect(
      violations.map(({ id, impact, nodes }) => [id, impact, nodes.slice(0, 3).map(({ html }) => html)]),
    ).toEqual([]);
  });

  test('by keyboard: skip link, links and fields in order, focus that can be seen', async () => {
    const { page } = await open(await serve(backupScene()));
    const focused = () =>
      page.evaluate(
        `(() => { const e = document.activeElement; const s = getComputedStyle(e); return { text: e.innerText || e.name || e.id, tag: e.tagName, seen: s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0, left: e.getBoundingClientRect().left }; })()`,
      ) as Promise<{ text: string; tag: string; seen: boolean; left: number }>;
    await page.keyboard.press('Tab');
    expect(await focused()).toMatchObject({ text: 'Skip to content', seen: true });
    expect((await focused()).left).toBeGreaterThanOrEqual(0);
    await page.keyboard.press('Enter');
    expect(await focused()).toMatchObject({ tag: 'MAIN' });
    const walked: string[] = [];
    for (let step = 0; step < 12; step += 1) {
      await page.keyboard.press('Tab');
      const { text, tag, seen } = await focused();
      expect([text, seen]).toEqual([text, true]);
      walked.push(`${tag} ${text}`);
    }
    expect(walked.slice(0, 9)).toEqual([
      'A platform/registry',
      'A shop/orders-db',
      'A knowledge/vectors',
      'A shop/media',
      'INPUT q',
      expect.stringMatching(/^SELECT /),
      expect.stringMatching(/^SELECT /),
      'BUTTON Show',
      'A platform/registry',
    ]);
  });

  test('light and dark differ', async () => {
    const address = await serve(backupScene());
    const background = async (colorScheme: 'light' | 'dark') => {
      const { page } = await open(address, { colorScheme });
      return page.evaluate('getComputedStyle(document.body).backgroundColor');
    };
    expect([await background('light'), await background('dark')]).toEqual([
      'rgb(246, 247, 249)',
      'rgb(15, 18, 22)',
    ]);
  });

  test.each([360, 640, 1024, 1920])('names of 60 characters fit in %i px', async (width) => {
    const scene = backupScene();
    const long = 'w'.repeat(60);
    for (const { metadata } of scene.schedules) Object.assign(metadata, { name: long, namespace: long });
    for (const { metadata } of scene.claims!) metadata.name = long;
    for (const { metadata, status } of scene.restores) {
      Object.assign(metadata, { name: long, namespace: long });
      Object.assign(status!.resolved!.archive, { name: long });
    }
    const address = await serve(scene);
    for (const path of ['/', `/?namespace=${long}&schedule=${long}`]) {
      const { page } = await open(`${address}${path}`, { viewport: { width, height: 800 } });
      const [content, visible] = (await page.evaluate(
        '[document.documentElement.scrollWidth, document.documentElement.clientWidth]',
      )) as [number, number];
      expect([path, content]).toEqual([path, visible]);
    }
  });

  test('on paper: no form, and nothing is cut', async () => {
    const { page } = await open(await serve(backupScene()));
    await page.emulateMedia({ media: 'print' });
    expect(await page.locator('form.filter').isVisible()).toBe(false);
    expect(await page.locator('table.schedules tbody tr').last().isVisible()).toBe(true);
    expect((await page.pdf()).length).toBeGreaterThan(10_000);
  });
});

describe('served by the operator', () => {
  async function freePort(): Promise<number> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    server.close();
    await once(server, 'close');
    return port;
  }

  async function answer(options: readonly string[]): Promise<{ scene: OperatorScene; address: string }> {
    const scene = await OperatorScene.open(inject('kubeconfig'));
    const port = await freePort();
    const child = scene.spawnOperator({ options: [`--http-port=${port}`, ...options] });
    child.stderr?.resume();
    const address = `http://127.0.0.1:${port}`;
    await eventually(
      () =>
        fetch(`${address}/readyz`).then(
          ({ status }) => status,
          () => 0,
        ),
      (status) => status === 200,
      (status) => `/readyz is ${status}`,
    );
    return { scene, address };
  }

  test('only on request', async () => {
    const { scene, address } = await answer([]);
    try {
      const response = await fetch(`${address}/`);
      expect([response.status, await response.text()]).toEqual([
        404,
        'not found; the paths are /healthz /livez /readyz /metrics\n',
      ]);
    } finally {
      await scene.close();
    }
  });

  test('a schedule, its run and a claim without one', async () => {
    const { scene, address } = await answer(['--page']);
    try {
      await scene.claim('lonely');
      await scene.schedule('notes');
      await scene.kubelet();
      await scene.runNow('notes');
      const { schedules, coverage } = await eventually(
        () => statusOf(address),
        (status) => status.schedules[0]?.lastSuccess !== undefined && status.coverage?.claims.length === 2,
        (status) => JSON.stringify(status),
      );
      expect(schedules).toEqual([
        expect.objectContaining({
          namespace: scene.namespace,
          name: 'notes',
          health: 'OK',
          runs: [expect.objectContaining({ phase: 'Succeeded', reason: 'ArchiveVerified', byHand: true })],
        }),
      ]);
      expect(coverage!.claims.map(({ name, gaps }) => [name, gaps.map(({ reason }) => reason)])).toEqual([
        ['lonely', ['NoSchedule']],
        ['state', ['ArchivesOnSameClaim', 'NeverDrilled']],
      ]);
      const { page, complaints } = await open(`${address}/`);
      expect(await page.locator('.verdict').textContent()).toBe('The schedule is healthy.');
      expect(await texts(page, 'table.schedules td.name a')).toEqual([`${scene.namespace}/notes`]);
      expect(complaints).toEqual(NOTHING);
    } finally {
      await scene.close();
    }
  });
});
