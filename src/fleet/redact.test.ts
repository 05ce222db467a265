import fc from 'fast-check';
import { expect, it } from 'vitest';
import { redact, redactText } from './redact.ts';

it.each([
  ['Bearer abc.def-123', 'Bearer [redacted]'],
  ['https://me:pass@host/x', 'https://me:[redacted]@host/x'],
  ['AGE-SECRET-KEY-1QQQ', '[redacted]'],
  ['key AKIAABCDEFGHIJKLMNOP used', 'key [redacted] used'],
  ['-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----', '[redacted]'],
  ['a plain sentence about a token', 'a plain sentence about a token'],
])('%s', (text, expected) => expect(redactText(text)).toBe(expected));

it('keeps what describes an object, and no value of a variable', () => {
  const before = {
    metadata: {
      name: 'x',
      managedFields: [{ manager: 'kubectl' }],
      annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '{}', mine: 'kept' },
    },
    spec: {
      imagePullSecrets: [{ name: 'regcred' }],
      credentialsSecretRef: { name: 'bucket' },
      containers: [
        {
          image: 'km:1',
          args: ['--token=Bearer abc'],
          env: [
            { name: 'PASSWORD', value: 'hunter2' },
            { name: 'FROM', valueFrom: { secretKeyRef: { name: 's', key: 'k' } } },
          ],
        },
      ],
      password: 'hunter2',
    },
  };
  const after = redact(before);
  expect(after).toEqual({
    metadata: { name: 'x', annotations: { mine: 'kept' } },
    spec: {
      imagePullSecrets: [{ name: 'regcred' }],
      credentialsSecretRef: { name: 'bucket' },
      containers: [
        {
          image: 'km:1',
          args: ['--token=Bearer [redacted]'],
          env: [
            { name: 'PASSWORD', value: '[redacted]' },
            { name: 'FROM', valueFrom: { secretKeyRef: { name: 's', key: 'k' } } },
          ],
        },
      ],
      password: '[redacted]',
    },
  });
});

it('no value of a variable survives, wherever the variable is', () => {
  const secret = 'S3cr3t-value';
  fc.assert(
    fc.property(fc.array(fc.constantFrom('spec', 'template', 'x'), { maxLength: 4 }), (path) => {
      const inner: unknown = { env: [{ name: 'ANY', value: secret }] };
      const object = path.reduce<unknown>((value, key) => ({ [key]: [value] }), inner);
      expect(JSON.stringify(redact(object))).not.toContain(secret);
    }),
  );
});
