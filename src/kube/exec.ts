/** Runs a program in a container of a pod, over a WebSocket (`v5.channel.k8s.io`). */
import { WebSocket } from 'undici/lib/web/websocket/websocket.js';
import { KubeError } from './errors.ts';

export interface ExecRequest {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  readonly command: readonly string[];
  /** Each gets bytes as they arrive; one that throws ends the program's connection. */
  readonly stdout: (chunk: Buffer) => void;
  readonly stderr: (chunk: Buffer) => void;
  readonly signal?: AbortSignal | undefined;
}

/** What the client passes on: where to connect, and how. */
export interface ExecConnection {
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly dispatcher: NonNullable<
    NonNullable<Exclude<ConstructorParameters<typeof WebSocket>[1], string | string[]>>['dispatcher']
  >;
}

/** The first byte of a message. */
const CHANNEL = { stdout: 1, stderr: 2, status: 3 } as const;
/** How long the end of the connection may take after the end of the program. */
const CLOSE_MS = 5_000;
const PROTOCOLS = ['v5.channel.k8s.io', 'v4.channel.k8s.io'];

interface ExecStatus {
  status?: string;
  message?: string;
  details?: { causes?: { reason?: string; message?: string }[] };
}

/** The path of the request. */
export function execPath({ namespace, pod, container, command }: ExecRequest): string {
  const query = new URLSearchParams({ container, stdout: 'true', stderr: 'true' });
  for (const word of command) query.append('command', word);
  return `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(pod)}/exec?${query}`;
}

/**
 * Resolves with the exit code of the program.
 * @throws {KubeError} when it could not be started, or the connection broke before its end.
 */
export function exec(request: ExecRequest, { url, headers, dispatcher }: ExecConnection): Promise<number> {
  const { namespace, pod, stdout, stderr, signal } = request;
  const what = `exec in pod ${namespace}/${pod}`;
  return new Promise((done, fail) => {
    const socket = new WebSocket(url, { protocols: PROTOCOLS, headers, dispatcher });
    socket.binaryType = 'arraybuffer';
    let ended: number | KubeError | undefined;
    let broken: unknown;
    const giveUp = () => {
      ended = new KubeError({ status: 0, reason: 'Aborted', message: `${what}: given up.` });
      socket.close();
    };
    signal?.addEventListener('abort', giveUp, { once: true });
    if (signal?.aborted) giveUp();
    socket.addEventListener('message', ({ data }) => {
      const message = Buffer.from(data as ArrayBuffer);
      const rest = message.subarray(1);
      try {
        if (message[0] === CHANNEL.stdout) stdout(rest);
        else if (message[0] === CHANNEL.stderr) stderr(rest);
        else if (message[0] === CHANNEL.status) {
          ended = endOf(rest, what);
          // The server closes next. One that does not must not hold us up.
          setTimeout(settle, CLOSE_MS).unref();
        }
      } catch (error) {
        broken = error;
        socket.close();
      }
    });
    // Its `close` follows.
    socket.addEventListener('error', ({ message, error }) => {
      ended ??= new KubeError(
        { status: 0, reason: 'TransportError', message: `${what}: ${message || 'the connection failed'}.` },
        { cause: error },
      );
    });
    const settle = () => {
      signal?.removeEventListener('abort', giveUp);
      if (broken !== undefined) fail(broken);
      else if (typeof ended === 'number') done(ended);
      else
        fail(
          ended ??
            new KubeError({
              status: 0,
              reason: 'TransportError',
              message: `${what}: the connection broke before the program ended.`,
            }),
        );
    };
    socket.addEventListener('close', settle);
  });
}

function endOf(bytes: Buffer, what: string): number | KubeError {
  const { status, message, details } = JSON.parse(bytes.toString('utf8')) as ExecStatus;
  if (status === 'Success') return 0;
  const code = details?.causes?.find(({ reason }) => reason === 'ExitCode')?.message;
  if (code !== undefined) return Number(code);
  return new KubeError({
    status: 500,
    reason: 'ExecFailed',
    message: `${what}: ${message ?? 'it could not be started'}`,
  });
}
