/** Clients of `km-backup mcp` by the official SDK, over each transport and protocol. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { type CallToolResult, Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { PROGRAM } from './km-backup.ts';

export const TOKEN = 'test-token-of-more-than-32-characters';

/** What the person does who is asked; `undefined`: the client cannot ask. */
export type Person = 'approves' | 'leaves the box empty' | 'declines' | 'dismisses' | undefined;
const answers = {
  approves: { action: 'accept', content: { approve: true } },
  'leaves the box empty': { action: 'accept', content: { approve: false } },
  declines: { action: 'decline' },
  dismisses: { action: 'cancel' },
} as const;

export type Protocol = '2025' | '2026';
export type TransportKind = 'stdio' | 'http';
export const WAYS: readonly (readonly [TransportKind, Protocol])[] = [
  ['stdio', '2025'],
  ['stdio', '2026'],
  ['http', '2025'],
  ['http', '2026'],
];

type ClientTransport = StdioClientTransport | StreamableHTTPClientTransport;

/** A client and, with stdio, its server. */
export class Session implements AsyncDisposable {
  readonly client: Client;
  /** What the person was asked, in order. */
  readonly asked: string[] = [];
  readonly #transport: ClientTransport;

  private constructor(transport: ClientTransport, protocol: Protocol, person: Person) {
    this.#transport = transport;
    this.client = new Client(
      { name: 'test', version: '1' },
      {
        capabilities: person === undefined ? {} : { elicitation: { form: {} } },
        versionNegotiation: { mode: protocol === '2026' ? { pin: '2026-07-28' } : 'legacy' },
      },
    );
    if (person === undefined) return;
    this.client.setRequestHandler('elicitation/create', ({ params }) => {
      this.asked.push(params.message);
      return { ...answers[person] };
    });
  }

  static async stdio(
    args: readonly string[],
    { protocol = '2026', person, env = {} }: SessionOptions = {},
  ): Promise<Session> {
    const { PATH = '' } = process.env;
    const transport = new StdioClientTransport({
      command: PROGRAM,
      args: ['mcp', ...args],
      env: { PATH, ...env },
      stderr: 'ignore',
    });
    return await new Session(transport, protocol, person).#connect();
  }

  static async http(
    url: string,
    { protocol = '2026', person, token = TOKEN }: SessionOptions & { token?: string } = {},
  ): Promise<Session> {
    const headers = { authorization: `Bearer ${token}` };
    const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
    return await new Session(transport, protocol, person).#connect();
  }

  async #connect(): Promise<this> {
    await this.client.connect(this.#transport);
    return this;
  }

  async call(
    name: string,
    args: Record<string, unknown> = {},
    options: Parameters<Client['callTool']>[1] = {},
  ): Promise<Called> {
    return new Called((await this.client.callTool({ name, arguments: args }, options)) as CallToolResult);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close();
  }
}

export interface SessionOptions {
  readonly protocol?: Protocol;
  readonly person?: Person;
  readonly env?: Record<string, string>;
}

export class Called {
  readonly text: string;
  readonly failed: boolean;
  readonly raw: CallToolResult;

  constructor(raw: CallToolResult) {
    this.raw = raw;
    this.failed = raw.isError === true;
    const [content] = raw.content;
    this.text = content?.type === 'text' ? content.text : '';
  }

  // biome-ignore lint/suspicious/noExplicitAny: each tool has its own shape, which the client has checked
  get data(): any {
    return this.raw.structuredContent;
  }
}

/** A server by HTTP, on a port that the system chose. */
export class HttpServer implements AsyncDisposable {
  readonly url: string;
  readonly child: ChildProcess;

  private constructor(child: ChildProcess, url: string) {
    this.child = child;
    this.url = url;
  }

  static async start(args: readonly string[], env: Record<string, string> = {}): Promise<HttpServer> {
    const { PATH = '' } = process.env;
    const child = spawn(PROGRAM, ['mcp', '--http', '127.0.0.1:0', ...args], {
      env: { PATH, KM_BACKUP_MCP_TOKEN: TOKEN, ...env },
      stdio: ['ignore', 'inherit', 'pipe'],
    });
    for await (const line of createInterface(child.stderr!)) {
      const [, url] = /^Listening on (\S+)$/.exec(line) ?? [];
      if (url === undefined) continue;
      child.stderr!.resume();
      return new HttpServer(child, url);
    }
    throw new Error('the server ended');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode !== null) return;
    this.child.kill('SIGTERM');
    await once(this.child, 'exit');
  }
}

/** A server and a client of it; the server ends with the client. */
export async function connect(
  [kind, protocol]: readonly [TransportKind, Protocol],
  args: readonly string[],
  options: Omit<SessionOptions, 'protocol'> = {},
): Promise<Session & AsyncDisposable> {
  if (kind === 'stdio') return await Session.stdio(args, { protocol, ...options });
  const server = await HttpServer.start(args, options.env);
  const session = await Session.http(server.url, { protocol, ...options });
  const close = session[Symbol.asyncDispose].bind(session);
  session[Symbol.asyncDispose] = async () => {
    await close();
    await server[Symbol.asyncDispose]();
  };
  return session;
}
