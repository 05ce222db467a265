/** What a person sees on a terminal of 60, 80 and 120 columns: the screens next to this file are what was looked at. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PROGRAM } from '../support/km-backup.ts';
import { PLUGIN } from '../support/kubectl-km.ts';
import { inScene, type OperatorScene } from '../support/operator-scene.ts';
import { PLAN, populated, withPlan } from '../support/plugin-scene.ts';
import { OnTerminal } from '../support/terminal.ts';

const WIDTHS = [60, 80, 120] as const;

const environment = ({ kubeconfig }: { kubeconfig?: string }, more: Record<string, string> = {}) => ({
  PATH: process.env['PATH']!,
  HOME: process.env['HOME'] ?? '/root',
  ...(kubeconfig !== undefined && { KUBECONFIG: kubeconfig }),
  ...more,
});

const plugin = ({ kubeconfig, namespace }: OperatorScene, command: string, columns: number): OnTerminal =>
  new OnTerminal([PLUGIN, ...command.split(' '), '-n', namespace], {
    columns,
    env: environment({ kubeconfig }),
  });

/** Names that the API server makes up, and times that pass. */
const steady = (screen: string, { namespace }: OperatorScene): string =>
  screen
    .replaceAll(namespace, 'NAMESPACE')
    .replaceAll(/(-(?:restore|plan)-)[a-z0-9]{5}\b/g, '$1xxxxx')
    .replaceAll(/km-backup-\d{8}T\d{6}Z/g, 'km-backup-20260101T000000Z')
    .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, '2026-01-01T00:00:00Z')
    .replaceAll(/ in [\d.]+ s:/g, ' in 9.0 s:');

const fileOf = (name: string) => path.join(import.meta.dirname, 'screens', `${name}.txt`);

const pictureOf = (name: string) => path.join(import.meta.dirname, '../../docs/images', `${name}.svg`);

describe.each(WIDTHS)('with %i columns', (columns) => {
  it(
    'status, why and list fit, and break no word',
    inScene(async (made) => {
      await populated(made);
      for (const command of ['status', 'why wiki-20261125', 'list']) {
        const run = plugin(made, command, columns);
        expect(await run.end()).toBe(0);
        expect(run.screen).not.toContain('⏎');
        const name = `${command.split(' ')[0]}-${columns}`;
        await expect(steady(run.screen, made)).toMatchFileSnapshot(fileOf(name));
      }
    }),
  );

  it(
    'restore shows its plan, asks, and does what is answered',
    inScene(async (made) => {
      const samples = [
        ...PLAN.samples,
        '+ pictures/a folder with a long name/and another one/that holds/a-file-whose-path-is-longer-than-any-terminal.jpeg',
        '+ 写真/東京.jpeg',
      ];
      await withPlan(made, { ...PLAN, samples });
      const restores = async () => (await made.all.restores.list(made.namespace)).items;
      for (const [name, keys, code, said] of [
        ['no', 'n\r', 1, 'Nothing was changed.'],
        ['unsaid', '\r', 1, 'Nothing was changed.'],
        ['closed', '\x04', 1, 'Nothing was changed.'],
        ['interrupted', '\x03', 130, 'Interrupted.'],
      ] as const) {
        const run = plugin(made, 'restore notes', columns);
        await run.shows('[y/N]');
        run.type(keys);
        expect([keys, await run.end()]).toEqual([keys, code]);
        expect(run.screen).toContain(said);
        expect(run.screen).not.toContain('⏎');
        expect(await restores()).toEqual([]);
        await expect(steady(run.screen, made)).toMatchFileSnapshot(fileOf(`restore-${name}-${columns}`));
      }
      const run = plugin(made, 'restore notes --wait', columns);
      await run.shows('[y/N]');
      run.type('y\r');
      expect(await run.end()).toBe(0);
      await expect(steady(run.screen, made)).toMatchFileSnapshot(fileOf(`restore-yes-${columns}`));
      // The line that says what is being waited for never takes two, and is gone in the end.
      const waiting = run.screens.filter((screen) => /[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]/.test(screen));
      expect(waiting.length).toBeGreaterThan(0);
      for (const screen of waiting) expect(screen).not.toMatch(/[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏].*⏎/);
      expect(run.screen).not.toMatch(/[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]/);
    }),
  );
});

it(
  'colours are for terminals, and not with NO_COLOR; the pictures of the docs are what is seen',
  inScene(async (made) => {
    await populated(made);
    const run = plugin(made, 'status', 80);
    await run.end();
    expect(run.raw).toContain('\u001b[31m');
    const picture = run.picture(
      'kubectl km status: three schedules, the one that failed first, and what to do',
    );
    await expect(picture).toMatchFileSnapshot(pictureOf('terminal-status'));
    const plain = new OnTerminal([PLUGIN, 'status', '-n', made.namespace], {
      columns: 80,
      env: environment(made, { NO_COLOR: '1' }),
    });
    await plain.end();
    expect(plain.raw).not.toContain('\u001b[3');
    expect(plain.screen).toBe(run.screen);
  }),
);

it(
  'the picture of a restore',
  inScene(async (made) => {
    await withPlan(made);
    const run = plugin(made, 'restore notes', 80);
    await run.shows('[y/N]');
    const picture = run.picture('kubectl km restore: what would change, and the question');
    run.type('n\r');
    await run.end();
    await expect(picture).toMatchFileSnapshot(pictureOf('terminal-restore'));
  }),
);

describe('km-backup', () => {
  let root: string;
  beforeAll(() => {
    root = fs.mkdtempSync(path.join(os.tmpdir(), 'km-terminal-'));
    fs.mkdirSync(path.join(root, 'source'));
    // Enough for some turns of the bar.
    const content = crypto.getRandomValues(new Uint8Array(60_000));
    for (let file = 0; file < 2000; file++) {
      content[0] = file % 256;
      fs.writeFileSync(path.join(root, 'source', `file-${file}`), content);
    }
  });
  afterAll(() => fs.rmSync(root, { recursive: true, force: true }));

  it.each(WIDTHS)('shows a bar of one line with %i columns, and removes it', async (columns) => {
    const destination = path.join(root, `archives-${columns}`);
    const env = environment({}, { KM_BACKUP_SOURCE: path.join(root, 'source'), KM_BACKUP_DEST: destination });
    const archive = () =>
      path.join(destination, fs.readdirSync(destination).find((name) => name.endsWith('.tgz'))!);
    // A first backup has no total, so it has no bar.
    let shown = 0;
    for (const command of [
      () => ['create'],
      () => ['verify', '--deep', archive()],
      () => ['location', 'check', '--init', `dir:${path.join(root, `copies-${columns}`)}`],
      () => ['copy', '--no-encryption', `dir:${path.join(root, `copies-${columns}`)}`],
    ]) {
      const words = command();
      const run = new OnTerminal([PROGRAM, ...words], { columns, env });
      const code = await run.end();
      expect([words.slice(0, 2), code, run.screen]).toEqual([words.slice(0, 2), 0, expect.anything()]);
      expect(run.screen).not.toMatch(/[█░]/);
      const bars = run.screens.filter((screen) => /[█░]/.test(screen));
      for (const screen of bars) {
        const lines = screen.trimEnd().split('\n');
        expect(lines.filter((line) => /[█░]/.test(line))).toHaveLength(1);
        expect(lines.at(-1)).toMatch(/^[█░]+ +\d+% {2}\S.*[^⏎]$/);
      }
      shown += bars.length;
    }
    expect(shown).toBeGreaterThan(0);
  });

  it.each(WIDTHS)('breaks what it says between words with %i columns', async (columns) => {
    const source = path.join(root, `small-${columns}`);
    const destination = path.join(root, `archives of ${columns}`);
    const target = path.join(root, `restored-${columns}`);
    const copies = `dir:${path.join(root, `kept-${columns}`)}`;
    fs.mkdirSync(path.join(source, 'docs'), { recursive: true });
    fs.mkdirSync(target);
    fs.writeFileSync(path.join(source, 'docs/one.md'), 'one');
    fs.symlinkSync('/nowhere', path.join(source, 'link'));
    const env = environment({}, { KM_BACKUP_SOURCE: source, KM_BACKUP_DEST: destination });
    const on = async (...words: string[]) => {
      const run = new OnTerminal([PROGRAM, ...words], { columns, env });
      await run.end();
      return `$ km-backup ${words.join(' ')}\n${run.screen}`;
    };
    const archive = () =>
      fs
        .readdirSync(destination)
        .filter((name) => name.endsWith('.tgz'))
        .sort()
        .at(-1)!;
    const seen = [await on('create')];
    const first = archive();
    fs.writeFileSync(path.join(source, 'docs/two.md'), 'two');
    seen.push(await on('create'));
    seen.push(await on('verify', path.join(destination, first)));
    seen.push(await on('list'), await on('prune', '--retention-limit', '1', '--dry-run'));
    seen.push(await on('history', 'docs/one.md'));
    seen.push(await on('location', 'check', '--init', copies), await on('copy', '--no-encryption', copies));
    seen.push(await on('restore', path.join(destination, first), target, '--dry-run'));
    seen.push(await on('restore', path.join(destination, first), target));
    seen.push(await on('restore', path.join(destination, 'none.tgz'), target));
    const text = seen.join('\n').replaceAll(root, '/data');
    const broken = text.split('\n').filter((line) => line.endsWith('⏎') && line.includes(' '));
    expect(broken).toEqual([]);
  });
});
