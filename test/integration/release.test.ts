/** What a release is made of, as far as it can be made here: packages, bill of materials, plugin manifest, workflows. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, utimes } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { bundle } from '../../scripts/build.ts';
import { packageChart } from '../../scripts/package-chart.ts';
import { cached } from '../cluster/cache.ts';
import { GO_ENV, GO_FLAGS } from '../cluster/go.ts';
import { cacheRoot } from '../cluster/layout.ts';
import { run } from '../cluster/process.ts';
import { elapsedLog } from '../cluster/progress.ts';
import { checkout } from '../support/backup.ts';

const WORKFLOWS = join(checkout, '.github/workflows');

let work: string;
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'km-release-'));
});
afterAll(() => rm(work, { recursive: true, force: true }));

/** A program of a Go module. */
async function goProgram(module: string, version: string): Promise<string> {
  const name = module.split('/').at(-1)!;
  const dir = await cached(
    cacheRoot(process.env, homedir()),
    `${name}-${version}`,
    elapsedLog(process.stderr),
    `building ${name} from the Go module proxy`,
    async (out) => {
      await run('go', ['install', ...GO_FLAGS, `${module}@${version}`], { env: { ...GO_ENV, GOBIN: out } });
    },
  );
  return join(dir, name);
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const digest = async (file: string) => sha256(await readFile(file));

async function digestsIn(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Promise.all(files.toSorted().map(async (file) => `${file.slice(dir.length)} ${await digest(file)}`));
}

async function packed(folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: checkout });
  return join(folder, JSON.parse(stdout)[0].filename);
}

describe('two builds of the same sources are the same', () => {
  it('bundle', async () => {
    const [one, two] = [join(work, 'one/dist'), join(work, 'two/dist')];
    await bundle(one);
    await bundle(two);
    const digests = await digestsIn(one);
    expect(digests.length).toBeGreaterThan(20);
    expect(await digestsIn(two)).toEqual(digests);
  });

  it('npm package, whenever its files were written', async () => {
    const one = await digest(await packed(join(work, 'npm-1')));
    const now = new Date();
    for (const file of ['bin/km-backup', 'dist/km-backup.js']) await utimes(join(checkout, file), now, now);
    expect(await digest(await packed(join(work, 'npm-2')))).toBe(one);
  });

  it('chart', async () => {
    const folders = [join(work, 'chart-1'), join(work, 'chart-2')];
    const digests: string[] = [];
    for (const folder of folders) {
      await mkdir(folder);
      digests.push(await digest(await packageChart(folder)));
    }
    expect(digests[1]).toBe(digests[0]);
    const own = await packageChart(folders[0]!, 'ghcr.io/org/km');
    const { stdout } = await run('tar', ['-xzOf', own, 'km-backup-operator/values.yaml']);
    expect(stdout).toContain('  repository: ghcr.io/org/km\n');
  });
});

describe('the npm package', () => {
  it('holds the programs and the pages, and no trace of where it was built', async () => {
    const { stdout } = await run('tar', ['-tzf', await packed(join(work, 'npm'))]);
    const files = stdout.trim().split('\n');
    const needed = ['bin/km-backup', 'bin/kubectl-km', 'dist/km-backup.js', 'docs/install.md', 'LICENSE'];
    expect(files).toEqual(expect.arrayContaining(needed.map((file) => `package/${file}`)));
    expect(files.filter((file) => /^package\/(src|test|node_modules)\/|dist\/sources$/.test(file))).toEqual(
      [],
    );
  });
});

describe('the bill of materials', () => {
  it('lists what is shipped, with licenses, and nothing that only builds or tests', async () => {
    const { stdout } = await run(process.execPath, ['scripts/sbom.ts'], { cwd: checkout });
    const bill = JSON.parse(stdout);
    expect(bill).toMatchObject({
      bomFormat: 'CycloneDX',
      metadata: { component: { name: 'km-backup-operator' } },
    });
    const names = bill.components.map(({ name }: { name: string }) => name);
    expect(names).toEqual(expect.arrayContaining(['node', 'koffi', 'zod', 'undici', 'age-encryption']));
    for (const name of ['vitest', 'typescript', 'rolldown', 'playwright-core'])
      expect(names).not.toContain(name);
    for (const { name, purl, licenses } of bill.components) {
      expect(purl).toContain('pkg:npm/');
      expect([name, licenses.length]).toEqual([name, 1]);
    }
    const refs = new Set([
      bill.metadata.component['bom-ref'],
      ...bill.components.map((one: never) => one['bom-ref']),
    ]);
    for (const { ref, dependsOn } of bill.dependencies)
      expect([ref, ...dependsOn].filter((one) => !refs.has(one))).toEqual([]);
  });
});

describe('the manifest of the plugin', () => {
  /** The rules of krew's own validator (internal/index/validation), which the Go module proxy does not serve. */
  it('is one that krew takes', async () => {
    const archive = await packed(join(work, 'krew'));
    const url = 'https://example.com/org/km-backup-operator';
    const { stdout } = await run(process.execPath, ['scripts/krew-manifest.ts', url, archive], {
      cwd: checkout,
    });
    const { apiVersion, kind, metadata, spec } = parse(stdout);
    expect({ apiVersion, kind }).toEqual({
      apiVersion: 'krew.googlecontainertools.github.com/v1alpha2',
      kind: 'Plugin',
    });
    expect(metadata.name).toMatch(/^[\w-]+$/);
    expect(metadata.name).not.toMatch(/^kubectl-|^\./);
    expect(spec.version).toMatch(/^v\d+\.\d+\.\d+(-[\w.]+)?$/);
    expect(spec.shortDescription).toMatch(/^[^\n]{1,80}$/);
    expect(spec.homepage).toMatch(/^https:/);
    expect(spec.platforms).toHaveLength(1);
    for (const platform of spec.platforms) {
      expect(platform.uri).toMatch(/^https:.*\.tgz$/);
      expect(platform.sha256).toMatch(/^[0-9a-f]{64}$/);
      expect(platform.sha256).toBe(await digest(archive));
      expect(Object.keys(platform.selector)).toEqual(['matchExpressions']);
      for (const { key, operator, values } of platform.selector.matchExpressions) {
        expect(['os', 'arch']).toContain(key);
        expect([operator, values.length > 0]).toEqual(['In', true]);
      }
      for (const { from, to } of platform.files)
        for (const path of [from, to]) expect(path).toMatch(/^(?!\/|.*\.\.).+/);
      expect(platform.bin).toMatch(/^(?!\/|.*\.\.).+/);
    }
    const { stdout: listed } = await run('tar', ['-tzf', archive]);
    expect(listed.split('\n')).toContain(`package/${spec.platforms[0].bin}`);
  });
});

describe('the workflows', () => {
  it('are ones that GitHub takes', async () => {
    const actionlint = await goProgram('github.com/rhysd/actionlint/cmd/actionlint', 'v1.7.7');
    const files = (await readdir(WORKFLOWS)).map((name) => join(WORKFLOWS, name));
    expect(files.length).toBeGreaterThan(1);
    await expect(run(actionlint, ['-no-color', '-shellcheck=', ...files])).resolves.toBeDefined();
  });

  it('call only scripts that exist', async () => {
    for (const name of await readdir(WORKFLOWS)) {
      const text = await readFile(join(WORKFLOWS, name), 'utf8');
      const paths = [...text.matchAll(/\bnode ((?:scripts|test)\/\S+?\.m?[tj]s)/g)].map(([, path]) => path!);
      for (const path of paths) await expect(readFile(join(checkout, path))).resolves.toBeDefined();
      for (const [, script] of text.matchAll(/\bnpm run ([\w:-]+)/g))
        expect(JSON.parse(await readFile(join(checkout, 'package.json'), 'utf8')).scripts).toHaveProperty([
          script!,
        ]);
    }
  });

  it('release notes are those of the version', async () => {
    const { stdout } = await run(process.execPath, ['scripts/release-notes.ts'], { cwd: checkout });
    expect(stdout).toContain('### Added');
  });
});
