/** Statements of the documentation that no other test holds. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, inject, it } from 'vitest';
import { ensureClients } from '../cluster/binaries.ts';
import { cacheRoot } from '../cluster/layout.ts';
import { run } from '../cluster/process.ts';
import { silent } from '../cluster/progress.ts';
import { checkout, Sandbox } from '../support/backup.ts';

const page = (name: string) => readFileSync(join(checkout, name), 'utf8');

it('archive-format.md: Python reads all members with r:gz, and stops early with r|gz', async () => {
  using box = new Sandbox();
  for (let index = 0; index < 300; index += 1) box.write(`file-${index}`, `${index}`);
  const { result } = await box.back();
  const entries = (mode: string) =>
    Number(
      execFileSync(
        'python3',
        [
          '-c',
          'import tarfile,sys; print(sum(1 for _ in tarfile.open(sys.argv[1], sys.argv[2])))',
          result.archive!.path,
          mode,
        ],
        { encoding: 'utf8' },
      ),
    );
  expect(entries('r:gz')).toBe(301);
  expect(entries('r|gz')).toBeLessThan(301);
  expect(page('docs/archive-format.md')).toContain("tarfile.open(name, 'r:gz')");
});

it('ARCHITECTURE.md: an archive is synced, described, named and made durable in this order', async () => {
  using box = new Sandbox();
  box.write('file', 'x');
  const reached: string[] = [];
  await box.back({ failpoint: (name) => void reached.push(name) });
  const [, steps] = /in this order[^:]*:([\s\S]*?)\n\d\. /.exec(page('ARCHITECTURE.md'))!;
  const documented = [...steps!.matchAll(/\*([a-z\s]+)\*/g)].map(([, name]) => name!.replace(/\s+/g, ' '));
  expect(documented).toHaveLength(6);
  expect(reached.filter((name) => documented.includes(name))).toEqual(documented);
});

it('install.md: its command updates CRDs that Helm installed', async () => {
  const [, flags] = /kubectl apply (--server-side[^\n]*) -f crds\//.exec(page('docs/install.md'))!;
  const { helm, kubectl } = await ensureClients(cacheRoot(process.env, homedir()), silent);
  const kubeconfig = inject('kubeconfig');
  const folder = mkdtempSync(join(tmpdir(), 'km-crds-'));
  const release = 'crd-upgrade';
  // A group of its own: the other tests use the real one.
  const crds = (version: string) => {
    const file = 'km.duskmantle.io_kmbackups.yaml';
    const text = page(`crds/${file}`)
      .replaceAll('km.duskmantle.io', 'upgrade.example.com')
      .replace('description: One run', `description: ${version}. One run`);
    mkdirSync(join(folder, 'crds'), { recursive: true });
    writeFileSync(join(folder, 'crds', file), text);
  };
  const apply = (...options: string[]) =>
    run(kubectl, ['--kubeconfig', kubeconfig, 'apply', ...options, '-f', join(folder, 'crds')]);
  try {
    cpSync(join(checkout, 'charts/km-backup-operator/Chart.yaml'), join(folder, 'Chart.yaml'));
    crds('Old');
    await run(helm, ['--kubeconfig', kubeconfig, 'install', release, folder]);
    crds('New');
    await expect(apply('--server-side')).rejects.toThrow(/conflict/);
    await apply(...flags!.split(' '));
    const { stdout } = await run(kubectl, [
      ...['--kubeconfig', kubeconfig, 'get', 'crd', 'kmbackups.upgrade.example.com'],
      ...['-o', 'jsonpath={.spec.versions[0].schema.openAPIV3Schema.description}'],
    ]);
    expect(stdout).toContain('New. ');
  } finally {
    await run(helm, ['--kubeconfig', kubeconfig, 'uninstall', release]).catch(() => {});
    await run(kubectl, [
      '--kubeconfig',
      kubeconfig,
      'delete',
      'crd',
      'kmbackups.upgrade.example.com',
      '--ignore-not-found',
    ]);
    rmSync(folder, { recursive: true, force: true });
  }
});
