/**
 * `npm run build`: bundles the programs into dist/, which bin/ runs while it is current.
 * Commands stay in chunks of their own, so that a run loads only its own. The kubectl plugin has a folder of its own, which
 * can be copied anywhere.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type OutputOptions, type Plugin, rolldown } from 'rolldown';
import { commandLine } from './command-line.ts';

const ROOT = join(import.meta.dirname, '..');
const DIST = join(ROOT, 'dist');

/** Packages that are not bundled because they hold native code. */
export const EXTERNAL_PACKAGES = ['koffi'] as const;

const ENTRIES = {
  'km-backup': 'src/cli/km-backup.ts',
  'km-backup-operator': 'src/cli/operator.ts',
  // The worker pool, in chunks/, loads `../worker.js`, as archive/pool/ loads `../worker.ts`.
  worker: 'src/archive/worker.ts',
};

/** Commander imports this for subcommands in other files, which we don't have. It costs 7 MB and 10 ms. */
const lazyChildProcess: Plugin = {
  name: 'lazy-child-process',
  resolveId: {
    filter: { id: /^node:child_process$/ },
    handler: (_id, importer) =>
      importer?.includes('/node_modules/commander/') ? '\0lazy-child-process' : null,
  },
  load: {
    filter: { id: /^\0lazy-child-process$/ },
    handler: () =>
      `export default { spawn: (...args) => process.getBuiltinModule('node:child_process').spawn(...args) };`,
  },
};

/** undici's client of HTTP/2, which we don't use. Loading what it needs costs every program 5 ms. */
const noHttp2: Plugin = {
  name: 'no-http2',
  resolveId: {
    filter: { id: /^node:http2$/ },
    handler: (_id, importer) => (importer?.includes('/node_modules/undici/') ? '\0no-http2' : null),
  },
  // As undici itself goes on without the module.
  load: { filter: { id: /^\0no-http2$/ }, handler: () => 'export const constants = {};' },
};

const PLUGIN = { 'kubectl-km': 'src/cli/kubectl-km.ts' };

/** Bundles the programs into `dir`. */
export async function bundle(dir: string): Promise<void> {
  const modules = [
    ...(await bundleEntries(dir, ENTRIES, { chunkFileNames: 'chunks/[name]-[hash].js' })),
    // Comments and white space would cost time at each start. Names stay, for reports of faults.
    ...(await bundleEntries(join(dir, 'kubectl-km'), PLUGIN, {
      chunkFileNames: '[name]-[hash].js',
      minify: { compress: false, mangle: false, codegen: { removeWhitespace: true } },
    })),
  ];
  // Node.js would have to find out in a copy of the folder.
  await writeFile(join(dir, 'kubectl-km/package.json'), '{"type":"module"}\n');
  await writeFile(join(dir, 'licenses.txt'), await licensesOf(modules));
}

/** @returns The modules that are in it. */
async function bundleEntries(
  dir: string,
  input: Record<string, string>,
  options: OutputOptions,
): Promise<string[]> {
  const build = await rolldown({
    cwd: ROOT,
    input,
    platform: 'node',
    external: [...EXTERNAL_PACKAGES],
    plugins: [lazyChildProcess, noHttp2],
    treeshake: {
      // Apart from the entries, no module of ours does anything when it is imported.
      moduleSideEffects: [
        { test: /\/src\/(cli\/[^/]+|archive\/worker)\.ts$/, sideEffects: true },
        { test: /\/src\//, sideEffects: false },
      ],
    },
  });
  try {
    const { output } = await build.write({ dir, format: 'esm', ...options });
    return output.flatMap((file) => (file.type === 'chunk' ? file.moduleIds : []));
  } finally {
    await build.close();
  }
}

/** The licenses of the packages that are bundled: most ask for their text to be passed on. */
async function licensesOf(modules: readonly string[]): Promise<string> {
  const packages = new Set(
    modules.flatMap((id) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id)?.[0] ?? []),
  );
  const texts = [...packages].sort().map(async (dir) => {
    const { name, version, license } = JSON.parse(await readFile(join(dir, 'package.json'), 'utf8'));
    const file = (await readdir(dir)).find((entry) => /^licen[cs]e/i.test(entry));
    const text = file === undefined ? '' : await readFile(join(dir, file), 'utf8');
    return `${name} ${version} (${license})\n\n${text.trim()}\n`;
  });
  return (await Promise.all(texts)).join(`\n${'-'.repeat(80)}\n\n`);
}

/** What bin/ compares: path, size and time of each source. */
function sources(): string {
  const script = `root=$1; . "$root/bin/launch.sh"; sources`;
  return execFileSync('sh', ['-c', script, 'sh', ROOT], { encoding: 'utf8' });
}

/** Makes dist/ current: complete under its name at once, or not at all. */
export async function buildPrograms(): Promise<void> {
  const before = sources();
  const built = await readFile(join(DIST, 'sources'), 'utf8').catch(() => undefined);
  if (before === built) return;
  const temporary = join(ROOT, 'node_modules/.cache', `dist-${process.pid}`);
  await mkdir(temporary, { recursive: true });
  try {
    await bundle(temporary);
    // Taken before the build: a source that was edited meanwhile makes it stale.
    await writeFile(join(temporary, 'sources'), before);
    const old = `${temporary}-old`;
    if (existsSync(DIST)) await rename(DIST, old);
    await rename(temporary, DIST);
    await rm(old, { recursive: true, force: true });
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  commandLine({}, () => {});
  await buildPrograms();
}
