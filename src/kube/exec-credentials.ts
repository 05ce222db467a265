/** Credentials from a plugin: `users[].user.exec` of a kubeconfig (client.authentication.k8s.io). */
import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import type { ApiServer } from './api-server.ts';
import { KubeConfigError } from './errors.ts';

export interface ExecConfig {
  readonly apiVersion?: string;
  readonly command: string;
  readonly args?: readonly string[] | null;
  readonly env?: readonly { readonly name: string; readonly value: string }[] | null;
  readonly installHint?: string;
}

interface Credential {
  readonly token?: string;
  readonly clientCertificateData?: string;
  readonly clientKeyData?: string;
  readonly expirationTimestamp?: string;
}

/** A token is fetched again this long before it expires. */
const MARGIN_MS = 30_000;

/**
 * Runs the plugin once, and again when its token has expired or was refused. A certificate that it gives is used as long
 * as the process lives.
 * @throws {KubeConfigError} when the plugin cannot be run or gives nothing.
 */
export async function execCredentials(
  config: ExecConfig,
  folder: string,
): Promise<Pick<ApiServer, 'authenticate' | 'forgetCredentials'> & { tls: ApiServer['tls'] }> {
  let known: Credential | undefined = await credentialOf(config, folder);
  const { clientCertificateData: cert, clientKeyData: key } = known;
  const isFresh = ({ expirationTimestamp: at }: Credential) =>
    at === undefined || Date.parse(at) - MARGIN_MS > Date.now();
  return {
    tls: { ...(cert !== undefined && { cert }), ...(key !== undefined && { key }) },
    async authenticate() {
      if (!known || !isFresh(known)) known = await credentialOf(config, folder);
      return known.token === undefined ? {} : { authorization: `Bearer ${known.token}` };
    },
    forgetCredentials() {
      known = undefined;
    },
  };
}

async function credentialOf(config: ExecConfig, folder: string): Promise<Credential> {
  const { apiVersion = 'client.authentication.k8s.io/v1', installHint } = config;
  const request = { apiVersion, kind: 'ExecCredential', spec: { interactive: process.stdin.isTTY === true } };
  const output = await run(config, folder, JSON.stringify(request)).catch((error: Error) => {
    const hint = installHint ? ` ${installHint}` : '';
    throw new KubeConfigError(`The credential plugin ${config.command} failed: ${error.message}.${hint}`, {
      cause: error,
    });
  });
  const { status } = parsed(output, config.command);
  if (status?.token || status?.clientCertificateData) return status;
  throw new KubeConfigError(
    `The credential plugin ${config.command} gave neither a token nor a certificate.`,
  );
}

function parsed(output: string, command: string): { status?: Credential } {
  try {
    return (JSON.parse(output) ?? {}) as { status?: Credential };
  } catch (error) {
    throw new KubeConfigError(`The credential plugin ${command} did not answer in JSON.`, { cause: error });
  }
}

function run({ command, args, env }: ExecConfig, folder: string, info: string): Promise<string> {
  // As in kubectl: a name is looked up in PATH, a path is relative to the kubeconfig.
  const program = command.includes('/') ? resolve(folder, command) : command;
  // The plugin runs with our own variables, as under kubectl.
  const extra = Object.fromEntries((env ?? []).map(({ name, value }) => [name, value]));
  return new Promise((done, fail) => {
    const child = execFile(
      program,
      [...(args ?? [])],
      { env: { ...process.env, ...extra, KUBERNETES_EXEC_INFO: info }, maxBuffer: 1 << 20 },
      (error, stdout) => (error ? fail(new Error(error.message.split('\n')[0])) : done(stdout)),
    );
    // Its own words, such as a device code to type in, are for the person.
    child.stderr?.pipe(process.stderr, { end: false });
  });
}
