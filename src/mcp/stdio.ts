/** Serves one client on standard input and output. */
import { StdioServerTransport, serveStdio } from '@modelcontextprotocol/server/stdio';
import type { ServerFactory } from './server.ts';

/** Ends when the client closes standard input, or with the signal, once all calls have cleaned up. */
export async function serveOnStdio(factory: ServerFactory, signal: AbortSignal): Promise<void> {
  const closed = Promise.withResolvers<void>();
  const transport = new StdioServerTransport();
  const handle = serveStdio(() => factory.make(), {
    transport,
    onerror: (error) => factory.logger.warn({ err: error }, 'MCP'),
  });
  const close = () => closed.resolve();
  process.stdin.once('close', close);
  process.stdin.once('end', close);
  signal.addEventListener('abort', close, { once: true });
  if (signal.aborted) close();
  await closed.promise;
  await factory.end();
  await handle.close();
}
