/** What the bundle of each command loads at once: every library costs time and memory in every run. */
import fs from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { run } from '../cluster/process.ts';
import { checkout } from '../support/backup.ts';

const CHUNKS = path.join(checkout, 'dist/chunks');

function loadedWith(chunk: string, seen = new Set<string>()): Set<string> {
  if (seen.has(chunk)) return seen;
  seen.add(chunk);
  const text = fs.readFileSync(path.join(CHUNKS, chunk), 'utf8');
  for (const [, next] of text.matchAll(/^(?:import|export)[^;]*?"\.\/([^"]+)"/gm)) loadedWith(next!, seen);
  return seen;
}

test.each(['create', 'list', 'ls', 'verify', 'prune', 'copy'])(
  '%s loads no schema library, no S3 client, no age and no MCP SDK',
  (name) => {
    const [chunk] = fs.readdirSync(CHUNKS).filter((file) => {
      if (!new RegExp(`^${name}-[\\w-]{8}\\.js$`).test(file)) return false;
      return /export \{[^}]*\bcommand\b/.test(fs.readFileSync(path.join(CHUNKS, file), 'utf8'));
    });
    expect(chunk).toBeDefined();
    const loaded = [...loadedWith(chunk!)];
    const heavy = loaded.filter((file) =>
      /ZodError|class S3Client |age-encryption\.org|notifications\/elicitation/.test(
        fs.readFileSync(path.join(CHUNKS, file), 'utf8'),
      ),
    );
    expect(heavy).toEqual([]);
  },
);

test('--version loads nothing else', () => {
  const text = fs.readFileSync(path.join(checkout, 'dist/km-backup.js'), 'utf8');
  const imported = [...text.matchAll(/^(?:import|export)[^;]*?"(\.[^"]+)"/gm)].map(([, file]) => file!);
  const sizes = imported.map((file) => fs.statSync(path.join(checkout, 'dist', file)).size);
  expect(sizes.reduce((sum, size) => sum + size, text.length)).toBeLessThan(10_000);
});

// Both answer in less than 100 ms, of which Node.js takes half.
test.each(['km-backup', 'km-backup-operator'])('%s --help loads little', (program) => {
  const entry = fs.readFileSync(path.join(checkout, `dist/${program}.js`), 'utf8');
  const loaded = new Set<string>();
  for (const [, chunk] of entry.matchAll(/^import[^;]*?"\.\/chunks\/([^"]+)"/gm)) loadedWith(chunk!, loaded);
  // What a command line without a command imports on top of that.
  const named = (name: string) =>
    fs.readdirSync(CHUNKS).find((file) => new RegExp(`^${name}-[\\w-]{8}\\.js$`).test(file))!;
  if (program === 'km-backup') for (const name of ['main', 'bare']) loadedWith(named(name), loaded);
  const sizes = [...loaded].map((file) => fs.statSync(path.join(CHUNKS, file)).size);
  expect(sizes.length).toBeGreaterThan(1);
  expect(sizes.reduce((sum, size) => sum + size, entry.length)).toBeLessThan(200_000);
});

test('the plugin is one folder, which works elsewhere', async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'km-bundle-'));
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url!);
    response.end(JSON.stringify({ metadata: {}, items: [] }));
  });
  try {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const config = {
      'current-context': 'x',
      contexts: [{ name: 'x', context: { cluster: 'x', user: 'x' } }],
      clusters: [{ name: 'x', cluster: { server: `http://127.0.0.1:${port}` } }],
      users: [{ name: 'x', user: { token: 'x' } }],
    };
    fs.cpSync(path.join(checkout, 'dist/kubectl-km'), path.join(folder, 'plugin'), { recursive: true });
    fs.writeFileSync(path.join(folder, 'config'), JSON.stringify(config));
    const { stdout } = await run(process.execPath, [path.join(folder, 'plugin/kubectl-km.js'), 'status'], {
      env: { KUBECONFIG: path.join(folder, 'config') },
    });
    expect(stdout).toBe('No schedules in namespace default (-A shows all).\n');
    expect(asked).toContainEqual(expect.stringContaining('/namespaces/default/kmbackupschedules'));
  } finally {
    server.close();
    fs.rmSync(folder, { recursive: true });
  }
});
