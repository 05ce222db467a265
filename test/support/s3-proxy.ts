/** A proxy in front of an S3 server that breaks chosen requests. */
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

export type Fault =
  /** The server never sees the request. */
  | { readonly kind: 'answer'; readonly status: number; readonly code: string }
  | { readonly kind: 'drop' }
  /** The server carries it out, and its answer is lost. */
  | { readonly kind: 'lose-answer' }
  | { readonly kind: 'cut-answer' }
  /** Nothing ever comes back, or no more than the first half, and the connection stays open. */
  | { readonly kind: 'hang' }
  | { readonly kind: 'freeze-answer' }
  | { readonly kind: 'alter-answer' }
  | { readonly kind: 'alter-request' }
  | { readonly kind: 'delay'; readonly ms: number }
  /** A listing that says it is truncated, without a continuation token. */
  | { readonly kind: 'edit-answer'; readonly edit: (body: string) => string };

export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
}

export class S3Proxy implements AsyncDisposable {
  readonly seen: Seen[] = [];
  /** Called for each request, with its number. */
  faultOf: (seen: Seen, index: number) => Fault | undefined = () => undefined;
  readonly #server: Server;
  readonly #scheme: string;

  private constructor(target: string, tls: { readonly key: Buffer; readonly cert: Buffer } | undefined) {
    const handle = (req: IncomingMessage, res: ServerResponse) => {
      this.#pass(new URL(target), req, res).catch(() => res.destroy());
    };
    this.#server = tls ? createSecureServer(tls, handle) : createServer(handle);
    this.#scheme = tls ? 'https' : 'http';
  }

  static async start(
    target: string,
    tls?: { readonly key: Buffer; readonly cert: Buffer },
  ): Promise<S3Proxy> {
    const proxy = new S3Proxy(target, tls);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get endpoint(): string {
    return `${this.#scheme}://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  reset(): void {
    this.seen.length = 0;
    this.faultOf = () => undefined;
  }

  async #pass({ hostname, port }: URL, req: IncomingMessage, res: ServerResponse): Promise<void> {
    const { method = '', url: path = '', headers } = req;
    const seen = { method, path, headers };
    const fault = this.faultOf(seen, this.seen.push(seen) - 1);
    const body = await buffer(req);
    switch (fault?.kind) {
      case 'hang':
        return;
      case 'drop':
        res.destroy();
        return;
      case 'answer':
        res.writeHead(fault.status, { 'content-type': 'application/xml' });
        res.end(
          method === 'HEAD' ? '' : `<Error><Code>${fault.code}</Code><Message>by the test</Message></Error>`,
        );
        return;
      case 'delay':
        await sleep(fault.ms);
        break;
      case 'alter-request':
        if (body.length > 0) body[body.length >> 1]! ^= 1;
        break;
      default:
    }
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      request({ hostname, port, method, path, headers }, resolve).once('error', reject).end(body);
    });
    let content = await buffer(answer);
    if (fault?.kind === 'lose-answer') {
      res.destroy();
      return;
    }
    if (fault?.kind === 'alter-answer' && content.length > 0) content[content.length >> 1]! ^= 1;
    const answerHeaders = { ...answer.headers };
    if (fault?.kind === 'edit-answer') {
      content = Buffer.from(fault.edit(content.toString('utf8')));
      answerHeaders['content-length'] = String(content.length);
      delete answerHeaders['transfer-encoding'];
    }
    res.writeHead(answer.statusCode ?? 500, answerHeaders);
    if (fault?.kind === 'freeze-answer' && content.length > 1) {
      res.write(content.subarray(0, content.length >> 1));
      return;
    }
    if (fault?.kind === 'cut-answer' && content.length > 1) {
      res.write(content.subarray(0, content.length >> 1), () => res.destroy());
      return;
    }
    res.end(content);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
