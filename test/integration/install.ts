import { elapsedLog } from '../cluster/index.ts';
import { ensurePackages } from '../cluster/packages.ts';
import { ensureMcpClients } from '../support/mcp-clients.ts';
import { installServers } from '../support/s3-server.ts';

/** Installs the programs that tests use, before all tests: building one takes minutes, which no test should wait for. */
export default async function setup(): Promise<void> {
  const log = elapsedLog(process.stderr);
  await ensurePackages('integration', log);
  await installServers(log);
  await ensureMcpClients(log);
}
