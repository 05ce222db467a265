/** Clients of the Model Context Protocol that are not ours: the Inspector's command line, and the conformance suite. */
import os from 'node:os';
import path from 'node:path';
import { cached } from '../cluster/cache.ts';
import { cacheRoot } from '../cluster/layout.ts';
import { run } from '../cluster/process.ts';
import { type Log, silent } from '../cluster/progress.ts';

const INSPECTOR = '2.12.0';
const CONFORMANCE = '0.1.16';

/** @returns the script of `inspector` and of `conformance` */
export async function ensureMcpClients(
  log: Log = silent,
): Promise<{ inspector: string; conformance: string }> {
  const name = `mcp-clients-${INSPECTOR}-${CONFORMANCE}`;
  const cacheDir = cacheRoot(process.env, os.homedir());
  const dir = await cached(cacheDir, name, log, 'installing MCP clients', async (out) => {
    await run('npm', [
      ...['install', '--prefix', out, '--ignore-scripts', '--no-audit', '--no-fund', '--save-exact'],
      `@modelcontextprotocol/inspector@${INSPECTOR}`,
      `@modelcontextprotocol/conformance@${CONFORMANCE}`,
    ]);
  });
  const scope = path.join(dir, 'node_modules/@modelcontextprotocol');
  return {
    inspector: path.join(scope, 'inspector/clients/launcher/build/index.js'),
    conformance: path.join(scope, 'conformance/dist/index.js'),
  };
}
