/** The certificate of the HTTPS server, from a mounted Secret that somebody renews. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, sleep } from '../clock/index.ts';

export interface Certificate {
  /** PEM, the chain included. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
}

/** The folder holds no certificate that a server could use. */
export class CertificateError extends Error {
  override name = 'CertificateError';
}

/** A Secret of type kubernetes.io/tls has these keys. */
const CERT = 'tls.crt';
const KEY = 'tls.key';
/** A mounted Secret follows a change after a minute, so there is no hurry. */
const POLL_MS = 10_000;

/**
 * Reads `tls.crt` and `tls.key` of a folder.
 * @throws {CertificateError} when they are missing or do not belong together.
 */
export async function readCertificate(dir: string): Promise<Certificate> {
  const cert = await readPem(join(dir, CERT));
  const key = await readPem(join(dir, KEY));
  const { certificate, privateKey } = parse(dir, cert, key);
  if (!certificate.checkPrivateKey(privateKey))
    throw new CertificateError(`${join(dir, KEY)} is not the key of the certificate in ${CERT} beside it`);
  return { cert, key };
}

async function readPem(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new CertificateError(
      `cannot read ${file} (${(error as NodeJS.ErrnoException).code}): mount a Secret of type kubernetes.io/tls there`,
    );
  }
}

function parse(dir: string, cert: string, key: string) {
  try {
    return { certificate: new X509Certificate(cert), privateKey: createPrivateKey(key) };
  } catch (error) {
    throw new CertificateError(
      `${join(dir, CERT)} or ${KEY} beside it is not PEM: ${(error as Error).message}`,
    );
  }
}

/**
 * Calls back with each new certificate of the folder until the signal. A certificate that cannot be used is reported
 * once; the last one stays in use.
 */
export async function followCertificate(options: {
  readonly dir: string;
  readonly current: Certificate;
  readonly onChange: (certificate: Certificate) => void;
  readonly onError: (error: Error) => void;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { dir, onChange, onError, clock, signal } = options;
  let { current } = options;
  let reported: string | undefined;
  for (;;) {
    await sleep(clock, POLL_MS, signal);
    if (signal.aborted) return;
    try {
      const found = await readCertificate(dir);
      reported = undefined;
      if (found.cert === current.cert && found.key === current.key) continue;
      onChange(found);
      current = found;
    } catch (error) {
      const { message } = error as Error;
      if (message !== reported) onError(error as Error);
      reported = message;
    }
  }
}
