/**
 * Runs a script of this repository by the Node.js that package.json pins, installing the dependencies first
 * when they are missing or differ from the lockfile. Plain JavaScript without dependencies: on a fresh clone
 * it runs on whatever Node.js came with npm.
 */
import { spawn, spawnSync } from 'node:child_process';
import { accessSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname ?? new URL('.', import.meta.url).pathname, '..');
const nodeDir = join(root, 'node_modules', '.bin');

function packagesOf(lockfile) {
  return JSON.parse(readFileSync(join(root, lockfile), 'utf8')).packages;
}

function dependenciesAreCurrent() {
  try {
    accessSync(join(nodeDir, 'node'));
    const installed = packagesOf('node_modules/.package-lock.json');
    // Optional packages of other platforms are in the lockfile but not installed.
    return Object.entries(packagesOf('package-lock.json')).every(
      ([path, { version, optional }]) =>
        path === '' || (installed[path] ? installed[path].version === version : optional === true),
    );
  } catch {
    return false;
  }
}

/**
 * Fetches the Go modules that a cluster without Docker is built from, while npm installs. If that fails, the build itself
 * fetches what is missing.
 */
function fetchGoModulesMeanwhile() {
  if (existsSync('/var/run/docker.sock')) return;
  const fetching = spawn('go', ['list', '-mod=readonly', '-deps', '.'], {
    cwd: join(root, 'test/cluster/programs'),
    stdio: 'ignore',
    env: { ...process.env, CGO_ENABLED: '0', GOWORK: 'off' },
  });
  fetching.on('error', () => {});
  fetching.unref();
}

if (!dependenciesAreCurrent()) {
  fetchGoModulesMeanwhile();
  console.log('Installing dependencies (npm ci) …');
  const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: root, stdio: 'inherit' });
  if (status !== 0) {
    console.error('"npm ci" failed. Is the npm registry reachable? Try again by hand: npm ci');
    process.exit(1);
  }
}

const child = spawn(join(nodeDir, 'node'), process.argv.slice(2), {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, PATH: `${nodeDir}:${process.env.PATH}` },
});
// A terminal sends SIGINT to the child too; twice would end it without its clean-up.
process.on('SIGINT', () => {});
for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
child.on('exit', (code, signal) => process.exit(signal === null ? code : 1));
