/** A certificate for a server that was given none: in memory only, valid as long as any process may run. */
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import type { Certificate } from './certificate.ts';

const DAY_MS = 86_400_000;
/** DER tags. */
const SEQUENCE = 0x30;
const SET = 0x31;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const OID = 0x06;
const UTF8_STRING = 0x0c;
const GENERALIZED_TIME = 0x18;
const VERSION = 0xa0;
const EXTENSIONS = 0xa3;
const DNS_NAME = 0x82;

const ECDSA_WITH_SHA256 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const COMMON_NAME = [0x55, 0x04, 0x03];
const SUBJECT_ALT_NAME = [0x55, 0x1d, 0x11];

function der(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content]);
  const bytes = length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...bytes]), content]);
}

const oid = (bytes: readonly number[]) => der(OID, Buffer.from(bytes));
const text = (tag: number, value: string) => der(tag, Buffer.from(value));
const time = (ms: number) =>
  text(GENERALIZED_TIME, `${new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, '')}`);
const bits = (value: Uint8Array) => der(BIT_STRING, Buffer.from([0]), value);

/**
 * @param name A DNS name.
 * @param nowMs Epoch milliseconds.
 */
export function selfSigned(name: string, nowMs: number): Certificate {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const algorithm = der(SEQUENCE, oid(ECDSA_WITH_SHA256));
  // A common name has 64 characters at most.
  const subject = der(
    SEQUENCE,
    der(SET, der(SEQUENCE, oid(COMMON_NAME), text(UTF8_STRING, name.slice(0, 64)))),
  );
  const names = der(SEQUENCE, text(DNS_NAME, name));
  const serial = randomBytes(16);
  // Positive, and without leading zeros.
  serial[0] = (serial[0]! & 0x7f) | 0x40;
  const body = der(
    SEQUENCE,
    der(VERSION, der(INTEGER, Buffer.from([2]))),
    der(INTEGER, serial),
    algorithm,
    subject,
    // A clock that is a little behind must not refuse it.
    der(SEQUENCE, time(nowMs - DAY_MS), time(nowMs + 3650 * DAY_MS)),
    subject,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(EXTENSIONS, der(SEQUENCE, der(SEQUENCE, oid(SUBJECT_ALT_NAME), der(OCTET_STRING, names)))),
  );
  const certificate = der(SEQUENCE, body, algorithm, bits(sign('sha256', body, privateKey)));
  const lines = certificate.toString('base64').replace(/(.{64})/g, '$1\n');
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${lines.trimEnd()}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
  };
}
