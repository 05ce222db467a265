/** Credentials by a web identity, as on EKS: the program asks a stand-in for STS, and a real S3 server takes what it gave. */
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { program, Sandbox } from '../support/backup.ts';
import { KEYS, S3Server } from '../support/s3-server.ts';

const ROLE = 'arn:aws:iam::123456789012:role/backup';
const MINUTE_MS = 60_000;

interface Answer {
  readonly status: number;
  readonly body: string;
}

const given = (lifetimeMs: number): Answer => ({
  status: 200,
  body: `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
    <Credentials><AccessKeyId>${KEYS.AWS_ACCESS_KEY_ID}</AccessKeyId><SecretAccessKey>${KEYS.AWS_SECRET_ACCESS_KEY}</SecretAccessKey>
    <SessionToken>session</SessionToken><Expiration>${new Date(Date.now() + lifetimeMs).toISOString()}</Expiration></Credentials>
    <AssumedRoleUser><Arn>${ROLE}/x</Arn><AssumedRoleId>A:x</AssumedRoleId></AssumedRoleUser>
    </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`,
});
const refused = (status: number, code: string): Answer => ({
  status,
  body: `<ErrorResponse><Error><Type>Sender</Type><Code>${code}</Code><Message>the token is not accepted</Message></Error></ErrorResponse>`,
});

let server: S3Server;
let sts: Server;
let box: Sandbox;
let tokenFile: string;
let answer: () => Answer;
const asked: URLSearchParams[] = [];

beforeAll(async () => {
  // versitygw knows no session tokens.
  server = await S3Server.start('rclone');
  await server.createBucket('backups');
  sts = createServer(async (request, response) => {
    asked.push(new URLSearchParams(Buffer.concat(await Array.fromAsync(request)).toString()));
    const { status, body } = answer();
    response.writeHead(status, { 'content-type': 'text/xml' }).end(body);
  });
  await new Promise<void>((resolve) => sts.listen(0, '127.0.0.1', resolve));
  box = new Sandbox();
  box.write('f', 'content');
  box.clockAheadMs = 3_000;
  await box.back();
  tokenFile = path.join(box.root, 'token');
});
afterAll(async () => {
  sts.close();
  await server[Symbol.asyncDispose]();
  box[Symbol.dispose]();
});
beforeEach(() => {
  asked.length = 0;
  fs.writeFileSync(tokenFile, 'first');
});

function copy(prefix: string): Promise<{ status: number; err: string }> {
  const { AWS_ACCESS_KEY_ID: _id, AWS_SECRET_ACCESS_KEY: _secret, ...rest } = server.env;
  const inherited = Object.entries(process.env).filter(([key]) => !key.startsWith('AWS_'));
  const env = {
    ...Object.fromEntries(inherited),
    ...rest,
    AWS_ROLE_ARN: ROLE,
    AWS_WEB_IDENTITY_TOKEN_FILE: tokenFile,
    AWS_ENDPOINT_URL_STS: `http://127.0.0.1:${(sts.address() as AddressInfo).port}`,
  };
  const args = [
    ...['copy', `s3://backups/${prefix}`, '--destination', box.destination, '--no-encryption'],
    ...['--path-style', '--retry-seconds', '1'],
  ];
  return new Promise((resolve) => {
    execFile(program, args, { env }, (error, _out, err) => {
      resolve({ status: error ? Number(error.code) : 0, err });
    });
  });
}

test('a role is taken with the token of the file', async () => {
  answer = () => given(60 * MINUTE_MS);
  expect(await copy('a')).toMatchObject({ status: 0 });
  expect(asked).toHaveLength(1);
  expect(asked[0]!.get('Action')).toBe('AssumeRoleWithWebIdentity');
  expect(asked[0]!.get('RoleArn')).toBe(ROLE);
  expect(asked[0]!.get('WebIdentityToken')).toBe('first');
});

test('credentials that run out are renewed midway, with the token that the kubelet has put there meanwhile', async () => {
  answer = () => {
    fs.writeFileSync(tokenFile, 'second');
    return given(asked.length === 1 ? MINUTE_MS : 60 * MINUTE_MS);
  };
  expect(await copy('b')).toMatchObject({ status: 0 });
  expect(asked.map((one) => one.get('WebIdentityToken'))).toEqual(['first', 'second']);
});

test.each<[string, () => void, RegExp]>([
  [
    'a token that STS does not accept',
    () => {
      answer = () => refused(400, 'InvalidIdentityToken');
    },
    /web identity/,
  ],
  [
    'a role that the token may not take',
    () => {
      answer = () => refused(403, 'AccessDenied');
    },
    /credentials/,
  ],
  [
    'an expired token',
    () => {
      answer = () => refused(400, 'ExpiredTokenException');
    },
    /have expired/,
  ],
  ['no token', () => fs.rmSync(tokenFile), /web identity/],
])('%s is said in words', async (_, set, words) => {
  answer = () => given(60 * MINUTE_MS);
  set();
  const { status, err } = await copy('c');
  expect([status, err]).toEqual([1, expect.stringMatching(words)]);
  expect(err).not.toMatch(/ at .*\.(ts|js):/);
});
