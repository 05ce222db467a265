import { describe, expect, it } from 'vitest';
import { noAnswer, noCredentials } from './transport-errors.ts';

const asked = { what: 'GET /api/v1/pods', url: 'https://10.0.0.1:443', timeoutMs: 30_000 };
const failed = (code: string, message: string) => Object.assign(new Error(message), { code });

describe('a request without an answer', () => {
  it.each([
    [new DOMException('The operation was aborted due to timeout', 'TimeoutError'), 'Timeout', 'within 30 s'],
    [failed('UND_ERR_HEADERS_TIMEOUT', 'Headers Timeout Error'), 'Timeout', 'within 30 s'],
    [failed('UND_ERR_BODY_TIMEOUT', 'Body Timeout Error'), 'Timeout', 'within 30 s'],
    [new DOMException('This operation was aborted', 'AbortError'), 'Aborted', 'given up'],
    [
      failed('ECONNREFUSED', 'connect ECONNREFUSED 10.0.0.1:443'),
      'ConnectionRefused',
      'Check that the API server runs',
    ],
    [failed('ENOTFOUND', 'getaddrinfo ENOTFOUND nowhere'), 'TransportError', 'DNS'],
    [failed('UND_ERR_CONNECT_TIMEOUT', 'Connect Timeout Error'), 'TransportError', 'policies and firewalls'],
    [
      failed('UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'unable to verify the first certificate'),
      'Untrusted',
      'certificate authority',
    ],
    [failed('UND_ERR_SOCKET', 'other side closed'), 'TransportError', 'UND_ERR_SOCKET: other side closed'],
    ['thrown by somebody', 'TransportError', 'thrown by somebody'],
  ])('is told with what, where, why: %s', (error, reason, text) => {
    const told = noAnswer(error, asked);
    expect(told).toMatchObject({ status: 0, reason, cause: error });
    expect(told.message).toContain(text);
    for (const part of [asked.what, asked.url]) expect(told.message).toContain(part);
    // A DOMException's code is a number without meaning to the reader.
    expect(told.message).not.toMatch(/\(\d+\)/);
  });
});

it('a request without credentials names the file that could not be read', () => {
  const missing = failed('ENOENT', "ENOENT: no such file or directory, open '/var/run/token'");
  const told = noCredentials(missing, asked);
  expect(told).toMatchObject({ status: 0, reason: 'NoCredentials' });
  expect(told.message).toContain('/var/run/token');
  expect(told.message).toContain('automountServiceAccountToken');
  expect(told.message).not.toContain('no answer');
});
