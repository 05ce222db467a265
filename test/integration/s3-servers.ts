import { elapsedLog } from '../cluster/index.ts';
import { installServers } from '../support/s3-server.ts';

/** Installs the S3 servers before all tests: building one takes minutes, which no test should wait for. */
export default async function setup(): Promise<void> {
  await installServers(elapsedLog(process.stderr));
}
