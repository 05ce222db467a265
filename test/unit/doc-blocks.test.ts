/** Every command, manifest and variable in the documentation is one that the programs know. */
import { execFileSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { VARIABLES } from '../../src/standalone/variables.ts';
import { commandsOf, hasValue, heredocsOf, problemsOf, scriptOf } from '../support/doc-commands.ts';
import { problemsOfYaml } from '../support/doc-manifests.ts';
import { type Block, fencedBlocks, PAGES, root, textOf } from '../support/doc-pages.ts';

/** Of a version before, and not rewritten. */
const pages = PAGES.filter((page) => page !== 'CHANGELOG.md');
const blocks = pages.flatMap((page) => fencedBlocks(page));
const ofLanguage = (...languages: string[]): [string, Block][] =>
  blocks
    .filter(({ info }) => languages.includes(info.split(' ')[0]!))
    .map((block) => [`${block.page}:${block.line}`, block]);

const isManifest = (text: string): boolean => /^(---|apiVersion:|\{"apiVersion")/.test(text);

describe('command blocks', () => {
  it.each(ofLanguage('sh'))('%s is a shell script', (_, { text }) => {
    expect(() =>
      execFileSync('bash', ['-n'], { input: text, stdio: ['pipe', 'ignore', 'pipe'] }),
    ).not.toThrow();
  });

  it.each(ofLanguage('sh', 'console'))('%s calls the programs as they take it', async (_, block) => {
    const problems = await Promise.all(commandsOf(scriptOf(block)).map(problemsOf));
    expect(problems.flat()).toEqual([]);
  });

  it.each(ofLanguage('sh', 'console'))('%s passes manifests as the API server takes them', (_, block) => {
    for (const text of heredocsOf(scriptOf(block)).filter(isManifest))
      expect(problemsOfYaml(text)).toEqual([]);
  });
});

it.each(ofLanguage('yaml'))('%s is a manifest, or a part of one', (_, { text }) => {
  expect(problemsOfYaml(text)).toEqual([]);
});

it.each(ofLanguage('json'))('%s is JSON', (_, { text }) => {
  expect(() => JSON.parse(text)).not.toThrow();
});

it('every block says what it is', () => {
  const known = new Set(['', 'sh', 'sh skip', 'console', 'yaml', 'json', 'promql', 'sql', 'text']);
  expect(
    blocks.filter(({ info }) => !known.has(info)).map(({ page, line, info }) => [page, line, info]),
  ).toEqual([]);
});

/** `code` in sentences and tables that calls one of the programs. */
const inline = pages.flatMap((page) => {
  const text = textOf(page).replaceAll(/^ *```[\s\S]*?^ *```$/gm, '');
  return [...text.matchAll(/`((?:bin\/)?km-backup [^`]+|kubectl km [^`]+|helm [^`]+)`/g)].map(
    ([, call]) => [page, call!.replaceAll(/\s+/g, ' ')] as const,
  );
});

it('calls of the programs in sentences have options that exist', async () => {
  expect(inline.length).toBeGreaterThan(50);
  const found: string[] = [];
  for (const [page, call] of inline)
    for (const words of commandsOf(call))
      for (const problem of await problemsOf(words))
        if (problem.includes('no option')) found.push(`${page}: ${problem}`);
  expect(found).toEqual([]);
});

describe('variables', () => {
  const ours = new Set<string>(Object.values(VARIABLES).flatMap(({ names }) => names));
  const sources = globSync(
    ['src/**/*.ts', 'test/**/*.ts', 'scripts/**/*.{ts,mjs,sh}', 'bin/*', 'bench/**/*.ts'],
    {
      cwd: root,
    },
  )
    .filter((file) => !file.endsWith('doc-blocks.test.ts'))
    .map((file) => textOf(file))
    .join('\n');

  it.each(pages)('%s names only variables that are read', (page) => {
    for (const [name] of textOf(page).matchAll(/\bKM_[A-Z_]*[A-Z]\b(?!…|_)/g)) {
      const known = name.startsWith('KM_BACKUP_') ? ours.has(name) : sources.includes(name);
      expect([name, known]).toEqual([name, true]);
    }
  });
});

it('chart values that the pages name exist', () => {
  const chart =
    /`((?:image|jobs|restore|elevated|crds|test|rbac|page|metrics|tracing|serviceMonitor|podMonitor|prometheusRule|grafanaDashboard|networkPolicy|leaderElection|podSecurityContext)\.[\w.]+)(?:=[^`]*)?`/g;
  // That page names values that are gone.
  const present = pages.filter((page) => page !== 'docs/upgrade.md');
  const found = present.flatMap((page) =>
    [...textOf(page).matchAll(chart)]
      .filter(([, name]) => !hasValue(name!))
      .map(([, name]) => `${page}: ${name}`),
  );
  expect(found).toEqual([]);
});

describe('the checks themselves', () => {
  const block = (info: string, text: string): Block => ({ info, text, page: 'x', line: 1 });

  it.each([
    ['km-backup create --sourcee x', 'create has no option --sourcee'],
    ['KM_X=1 bin/km-backup prune --retention-limit', "option '--retention-limit <n>' argument missing"],
    ['kubectl km restore', 'restore takes 1 to 1 arguments, not 0'],
    ['kubectl km status --wide', 'status has no option --wide'],
    ['km-backup location kegen -o x', 'location has no command kegen'],
    ['km-backup-operator --replicas 3', 'km-backup-operator has no option --replicas'],
    ['helm install x charts/km-backup-operator --set imag.tag=1', 'the chart has no value imag.tag'],
    ['kubectl get pods --made-up | km-backup list --all-of-it > /tmp/x', 'list has no option --all-of-it'],
  ])('%s is found', async (text, problem) => {
    const problems = (await Promise.all(commandsOf(text).map(problemsOf))).flat();
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(problem);
  });

  it('take here-documents out of the commands, and console blocks without their output', () => {
    const text =
      "$ kubectl apply -f - <<'YAML' \\\n  --wait\nspec: {paths: [a]}\nYAML\nkm-backup --no-such\n";
    expect(scriptOf(block('console', text))).not.toContain('no-such');
    expect(commandsOf("kubectl apply -f - <<'YAML'\nspec: x\nYAML\nls")).toEqual([
      ['kubectl', 'apply', '-f', '-'],
      ['ls'],
    ]);
    expect(heredocsOf("kubectl apply -f - <<'YAML'\nspec: x\nYAML\n")).toEqual(['spec: x']);
  });

  it.each([
    ['apiVersion: km.duskmantle.io/v1alpha1\nkind: KmBackup\nspec: {schedule: x}', 2],
    ['apiVersion: km.duskmantle.io/v1alpha1\nkind: KmBackups\nspec: {}', 1],
    ['spec:\n  retention: {limits: 3}', 1],
    ['retention: {limit: 3}', 0],
    ['spec: [', 1],
    ['apiVersion: km.duskmantle.io/v1alpha1\nkind: KmBackup\nspec: {scheduleName: $NAME}', 0],
  ])('%s has %i problems', (text, count) => {
    expect(problemsOfYaml(text).length).toBe(count);
  });
});
