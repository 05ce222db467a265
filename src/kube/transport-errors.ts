import { KubeError } from './errors.ts';

/** A request as messages name it, and where it was sent. */
export interface Asked {
  /** Method and path. */
  what: string;
  /** Base address of the API server. */
  url: string;
  /** The timeout for its answer; milliseconds. */
  timeoutMs: number;
}

interface Cause {
  name: string;
  message: string;
  code: string | undefined;
}

/** The `code` of a DOMException is a number without meaning here, so it is left out. */
function causeOf(error: unknown): Cause {
  if (!(error instanceof Error)) return { name: '', message: String(error), code: undefined };
  const { code } = error as { code?: unknown };
  return {
    name: error.name,
    message: error.message,
    code: typeof code === 'string' ? code : undefined,
  };
}

const TOO_SLOW = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT']);
const UNTRUSTED = /CERT|SIGNATURE|TLS|SSL/;
const NO_WAY = new Set(['EHOSTUNREACH', 'ENETUNREACH', 'ENETDOWN', 'UND_ERR_CONNECT_TIMEOUT', 'ETIMEDOUT']);
const NO_NAME = new Set(['ENOTFOUND', 'EAI_AGAIN']);

function explain({ name, message, code }: Cause, { url, timeoutMs }: Asked): [reason: string, text: string] {
  const said = code === undefined || message.includes(code) ? message || code : `${code}: ${message}`;
  if (name === 'TimeoutError' || (code !== undefined && TOO_SLOW.has(code))) {
    return [
      'Timeout',
      `the API server at ${url} did not answer within ${timeoutMs / 1000} s. It may be overloaded, or the network may drop its answers`,
    ];
  }
  if (name === 'AbortError') return ['Aborted', `given up before the API server at ${url} answered`];
  if (code === 'ECONNREFUSED') {
    return [
      'ConnectionRefused',
      `nothing answers at ${url} (${said}). Check that the API server runs and that this is its address`,
    ];
  }
  if (code !== undefined && NO_NAME.has(code)) {
    return ['TransportError', `the host of ${url} has no address (${said}). Check the name and the DNS`];
  }
  if (code !== undefined && NO_WAY.has(code)) {
    return [
      'TransportError',
      `${url} cannot be reached (${said}). Check the network, its policies and firewalls between here and the API server`,
    ];
  }
  if (code !== undefined && UNTRUSTED.test(code)) {
    return [
      'Untrusted',
      `no trusted connection to ${url} (${said}). Check the certificate authority in the kubeconfig or service account, and the clock`,
    ];
  }
  return ['TransportError', `the connection to ${url} broke before the whole answer came (${said})`];
}

/** The error for a request without an answer: what was asked, where, and why no answer came. */
export function noAnswer(error: unknown, asked: Asked): KubeError {
  const [reason, text] = explain(causeOf(error), asked);
  return new KubeError({ status: 0, reason, message: `${asked.what}: ${text}.` }, { cause: error });
}

/** The error for a request that was not sent because the credentials could not be read. */
export function noCredentials(error: unknown, { what, url }: Asked): KubeError {
  const details = {
    status: 0,
    reason: 'NoCredentials',
    message: `${what}: not sent to ${url}, because the credentials could not be read: ${causeOf(error).message}. In a pod, check that automountServiceAccountToken is not false. Otherwise check the user of the kubeconfig.`,
  };
  return new KubeError(details, { cause: error });
}
