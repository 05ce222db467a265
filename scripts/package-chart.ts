/**
 * `node scripts/package-chart.ts FOLDER [REPOSITORY]`: packs the chart, the same bytes for the same sources, and prints the
 * path. REPOSITORY is the image that it installs by default.
 */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { ensureClients } from '../test/cluster/binaries.ts';
import { cacheRoot } from '../test/cluster/layout.ts';
import { run } from '../test/cluster/process.ts';
import { normalise } from './reproducible.ts';

const CHART = join(import.meta.dirname, '../charts/km-backup-operator');

/** @returns The path of the package. */
export async function packageChart(folder: string, repository?: string): Promise<string> {
  const { helm } = await ensureClients(cacheRoot(process.env, homedir()), (line) => console.error(line));
  const work = await mkdtemp(join(tmpdir(), 'km-chart-'));
  try {
    const copy = join(work, basename(CHART));
    await cp(CHART, copy, { recursive: true });
    if (repository !== undefined) await setRepository(join(copy, 'values.yaml'), repository);
    await normalise(copy);
    const { stdout } = await run(helm, ['package', copy, '--destination', folder]);
    return stdout.trim().split(': ').at(-1)!;
  } finally {
    await rm(work, { recursive: true });
  }
}

async function setRepository(file: string, repository: string): Promise<void> {
  const local = '  repository: localhost/km-backup-operator\n';
  const values = await readFile(file, 'utf8');
  if (!values.includes(local)) throw new Error(`${file} has lost its image.repository`);
  await writeFile(file, values.replace(local, `  repository: ${repository}\n`));
}

if (import.meta.main) {
  const [folder, repository] = process.argv.slice(2);
  if (folder === undefined) {
    console.error('usage: node scripts/package-chart.ts FOLDER [REPOSITORY]');
    process.exit(2);
  }
  console.log(await packageChart(folder, repository));
}
