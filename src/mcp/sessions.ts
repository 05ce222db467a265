/**
 * Clients of the 2025 protocol over HTTP. They are asked for approval by a request of the server, which needs a session;
 * the SDK's own fallback for them has none.
 */
import { randomUUID } from 'node:crypto';
import { type McpServer, WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/server';
import type { ServerFactory } from './server.ts';

interface Session {
  readonly transport: WebStandardStreamableHTTPServerTransport;
  readonly server: McpServer;
}

/** Clients that go away without saying so leave their session behind. */
const MOST_SESSIONS = 64;

export class Sessions {
  readonly #factory: ServerFactory;
  /** In the order of their last use. */
  readonly #open = new Map<string, Session>();

  constructor(factory: ServerFactory) {
    this.#factory = factory;
  }

  async fetch(request: Request): Promise<Response> {
    const id = request.headers.get('mcp-session-id');
    if (id === null) return await this.#begin(request);
    const session = this.#open.get(id);
    if (!session) return unknownSession();
    this.#open.delete(id);
    this.#open.set(id, session);
    return await session.transport.handleRequest(request);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open.values()].map(({ server }) => server.close()));
  }

  async #begin(request: Request): Promise<Response> {
    const server = this.#factory.make();
    const transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => void this.#add(id, { transport, server }),
      onsessionclosed: (id) => void this.#open.delete(id),
    });
    await server.connect(transport);
    const response = await transport.handleRequest(request);
    // It was not the first message of a session.
    if (transport.sessionId === undefined) await server.close();
    return response;
  }

  async #add(id: string, session: Session): Promise<void> {
    this.#open.set(id, session);
    if (this.#open.size <= MOST_SESSIONS) return;
    const [oldest] = this.#open;
    this.#open.delete(oldest![0]);
    await oldest![1].server.close();
  }
}

function unknownSession(): Response {
  return Response.json(
    {
      jsonrpc: '2.0',
      error: { code: -32_001, message: 'This session has ended. Begin another one.' },
      id: null,
    },
    { status: 404 },
  );
}
