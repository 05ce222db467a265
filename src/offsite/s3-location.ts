/** A location in a bucket of any S3 server. Uses PUT, GET, HEAD, LIST and DELETE only, and multipart uploads never. */
import { readFileSync } from 'node:fs';
import { Agent } from 'node:https';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  ListObjectsV2Command,
  PutObjectCommand,
  PutObjectRetentionCommand,
  S3Client,
  type S3ClientConfig,
} from '@aws-sdk/client-s3';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { ArchiveError } from '../archive/index.ts';
import { Retrier } from '../clock/retry.ts';
import { digestInBackground } from '../posix/openssl.ts';
import type { ByteRange, Location, PutOptions, StoredObject } from './location.ts';
import type { Throttle } from './throttle.ts';

export interface S3Options {
  readonly bucket: string;
  /** Begins every key; without slashes at its ends. */
  readonly prefix: string;
  /** Undefined: from AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or the shared configuration, else AWS itself. */
  readonly endpoint?: string | undefined;
  readonly region?: string | undefined;
  readonly forcePathStyle: boolean;
  /** PEM file of the authorities that sign the server's certificate. */
  readonly caBundle?: string | undefined;
  readonly objectLock?: 'GOVERNANCE' | 'COMPLIANCE' | undefined;
  readonly throttle?: Throttle | undefined;
  /** A connection that is silent for this long is given up; milliseconds. */
  readonly silenceMs?: number | undefined;
  readonly retrier?: Retrier | undefined;
  readonly signal?: AbortSignal | undefined;
}

const SILENCE_MS = 60_000;
const CONNECT_MS = 15_000;

interface ServiceError {
  readonly name?: string;
  readonly message?: string;
  readonly code?: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
}

export class S3Location implements Location {
  readonly url: string;
  readonly #options: S3Options;
  readonly #client: S3Client;
  readonly #retrier: Retrier;
  readonly #prefix: string;

  constructor(options: S3Options) {
    const { bucket, prefix, endpoint, region, forcePathStyle, caBundle } = options;
    this.#options = options;
    this.#prefix = prefix === '' ? '' : `${prefix}/`;
    this.url = `s3://${bucket}${prefix === '' ? '' : `/${prefix}`}`;
    this.#retrier = options.retrier ?? new Retrier();
    const config: S3ClientConfig = {
      forcePathStyle,
      // Many servers refuse the checksums that the SDK adds by itself; ours is Content-MD5, which all know.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      // Retries are ours: they also cover answers that break off.
      maxAttempts: 1,
      requestHandler: new NodeHttpHandler({
        connectionTimeout: CONNECT_MS,
        socketTimeout: options.silenceMs ?? SILENCE_MS,
        ...(caBundle !== undefined && {
          httpsAgent: new Agent({ ca: readFileSync(caBundle), keepAlive: true }),
        }),
      }),
      ...(endpoint !== undefined && { endpoint }),
      ...(region !== undefined && { region }),
    };
    this.#client = new S3Client(config);
  }

  async put(key: string, bytes: Uint8Array, { retainUntil }: PutOptions = {}): Promise<void> {
    const [md5, sha256] = await Promise.all([
      digestInBackground('md5', bytes),
      digestInBackground('sha256', bytes),
    ]);
    const { objectLock, throttle } = this.#options;
    const stored = await this.#ask('PUT', key, async (how) => {
      await throttle?.take(bytes.length, this.#options.signal);
      const command = new PutObjectCommand({
        ...this.#object(key),
        Body: bytes,
        ContentLength: bytes.length,
        // Buckets with object lock demand it; everywhere else it lets the server find what was altered on the way.
        ContentMD5: md5.toString('base64'),
        ...(objectLock &&
          retainUntil && { ObjectLockMode: objectLock, ObjectLockRetainUntilDate: retainUntil }),
      });
      signWith(command, sha256);
      const { ETag } = await this.#client.send(command, how);
      const head = await this.#headOrNothing(key, how);
      const tag = md5OfTag({ ETag, ServerSideEncryption: head?.ServerSideEncryption });
      const isRight =
        head?.ContentLength === bytes.length &&
        // A tag that is not the MD5 may have another meaning on this server: then the object itself is compared.
        (tag === undefined || tag === md5.toString('hex') || (await this.#holds(key, bytes, how)));
      if (!isRight) {
        throw new BrokenAnswer(`${this.url}/${key}: what was stored is not what was sent`);
      }
      return head;
    });
    if (stored) return;
    throw new ArchiveError(
      'LocationUnsuitable',
      `${this.url}: PUT ${key} failed (404). Check the endpoint and the name of the bucket.`,
    );
  }

  async #holds(key: string, bytes: Uint8Array, how: RequestHow): Promise<boolean> {
    const answer = await this.#client.send(new GetObjectCommand(this.#object(key)), how);
    return Buffer.from((await answer.Body?.transformToByteArray()) ?? []).equals(bytes);
  }

  async #headOrNothing(key: string, how: RequestHow): Promise<HeadObjectCommandOutput | undefined> {
    try {
      return await this.#client.send(new HeadObjectCommand(this.#object(key)), how);
    } catch (error) {
      if ((error as ServiceError).$metadata?.httpStatusCode === 404) return undefined;
      throw error;
    }
  }

  async get(key: string, range?: ByteRange): Promise<Buffer | undefined> {
    let alteredAnswers = 0;
    return await this.#ask('GET', key, async (how) => {
      const Range = range && `bytes=${range.offset}-${range.offset + range.length - 1}`;
      const answer = await this.#client
        .send(new GetObjectCommand({ ...this.#object(key), ...(Range !== undefined && { Range }) }), how)
        .catch((error: ServiceError) => {
          // The object ends before the range begins.
          if (error.$metadata?.httpStatusCode === 416) return undefined;
          throw error;
        });
      if (!answer) return Buffer.alloc(0);
      const bytes = Buffer.from((await answer.Body?.transformToByteArray()) ?? []);
      if (answer.ContentLength !== undefined && bytes.length !== answer.ContentLength) {
        throw new BrokenAnswer(`${this.url}/${key}: ${bytes.length} of ${answer.ContentLength} bytes came`);
      }
      await this.#options.throttle?.take(bytes.length, this.#options.signal);
      // The tag is that of the whole object.
      const tag = range ? undefined : md5OfTag(answer);
      // Altered on the way: another try helps. Altered where it lies: the reader of the bytes finds out what is wrong.
      if (
        tag !== undefined &&
        tag !== (await digestInBackground('md5', bytes)).toString('hex') &&
        alteredAnswers++ < 2
      ) {
        throw new BrokenAnswer(`${this.url}/${key}: the bytes are not those that were stored`);
      }
      return bytes;
    });
  }

  async head(key: string): Promise<StoredObject | undefined> {
    return await this.#ask('HEAD', key, async (how) => {
      const answer = await this.#client.send(new HeadObjectCommand(this.#object(key)), how);
      return { key, sizeBytes: answer.ContentLength ?? 0, modifiedAt: answer.LastModified ?? new Date(0) };
    });
  }

  async *list(prefix: string): AsyncGenerator<StoredObject> {
    const seen = new Set<string>();
    for (let token: string | undefined; ; ) {
      const page = await this.#ask('LIST', prefix, (how) =>
        this.#client.send(
          new ListObjectsV2Command({
            Bucket: this.#options.bucket,
            Prefix: this.#prefix + prefix,
            ...(token !== undefined && { ContinuationToken: token }),
          }),
          how,
        ),
      );
      for (const { Key, Size, LastModified } of page?.Contents ?? []) {
        if (Key === undefined || seen.has(Key)) continue;
        seen.add(Key);
        yield {
          key: Key.slice(this.#prefix.length),
          sizeBytes: Size ?? 0,
          modifiedAt: LastModified ?? new Date(),
        };
      }
      if (!page?.IsTruncated) return;
      const next = page.NextContinuationToken;
      if (!next || next === token) {
        throw new ArchiveError(
          'LocationUnavailable',
          `${this.url}: the server says that a listing goes on, but not where. Nothing was deleted on the strength of it.`,
        );
      }
      token = next;
    }
  }

  async delete(key: string): Promise<void> {
    await this.#ask('DELETE', key, (how) =>
      this.#client.send(new DeleteObjectCommand(this.#object(key)), how),
    );
  }

  async retain(key: string, until: Date): Promise<void> {
    const { objectLock } = this.#options;
    if (!objectLock) return;
    await this.#ask('PUT retention of', key, (how) =>
      this.#client.send(
        new PutObjectRetentionCommand({
          ...this.#object(key),
          Retention: { Mode: objectLock, RetainUntilDate: until },
        }),
        how,
      ),
    );
  }

  #object(key: string) {
    return { Bucket: this.#options.bucket, Key: this.#prefix + key };
  }

  /** Undefined where the object does not exist. */
  async #ask<T>(verb: string, key: string, request: (how: RequestHow) => Promise<T>): Promise<T | undefined> {
    const { signal } = this.#options;
    try {
      return await this.#retrier.run(
        () => request(signal ? { abortSignal: signal } : {}),
        isTransient,
        signal,
      );
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof ArchiveError) throw error;
      const { name, $metadata } = error as ServiceError;
      if (name === 'NoSuchBucket') {
        throw this.#failure(
          'LocationUnsuitable',
          verb,
          key,
          error,
          'There is no such bucket: create it, or correct its name and region.',
        );
      }
      if ($metadata?.httpStatusCode === 404) return undefined;
      throw this.#explain(verb, key, error);
    }
  }

  #explain(verb: string, key: string, error: unknown): ArchiveError {
    const { name = '', code = '', message = '', $metadata } = error as ServiceError;
    const status = $metadata?.httpStatusCode;
    if (name === 'CredentialsProviderError' || name === 'TokenProviderError') {
      return this.#failure(
        'LocationDenied',
        verb,
        key,
        error,
        'No credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a shared credentials file, or a web identity.',
      );
    }
    // The file of the token is all that a request reads.
    if (/^(InvalidIdentityToken|IDPRejectedClaim)/.test(name) || code === 'ENOENT' || code === 'EACCES') {
      return this.#failure(
        'LocationDenied',
        verb,
        key,
        error,
        'The token of the web identity cannot be read, or is not accepted. Check AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN and the trust policy of the role.',
      );
    }
    if (/Skewed/.test(name)) {
      return this.#failure(
        'LocationDenied',
        verb,
        key,
        error,
        'The clocks of this machine and of the server differ: correct them.',
      );
    }
    if (/Expired|^InvalidToken$/.test(name)) {
      return this.#failure(
        'LocationDenied',
        verb,
        key,
        error,
        'The credentials have expired, or their session token is not valid: renew them and run the command again.',
      );
    }
    if (status === 401 || status === 403) {
      return this.#failure(
        'LocationDenied',
        verb,
        key,
        error,
        `The server refuses ${verb}. Check the credentials, the bucket's policy and object locks.`,
      );
    }
    if (/CERT|SIGNED|SIGNATURE|SSL|TLS/.test(code)) {
      return this.#failure(
        'LocationUnavailable',
        verb,
        key,
        error,
        'The certificate of the server is not trusted: pass its authority (--ca-bundle, AWS_CA_BUNDLE, or caBundle of the KmBackupLocation).',
      );
    }
    if (/QuotaExceeded|StorageFull|InsufficientStorage|XMinioStorageFull/.test(name) || status === 507) {
      return this.#failure('NoSpace', verb, key, error, 'The location is full: enlarge it, or prune copies.');
    }
    return this.#failure(
      'LocationUnavailable',
      verb,
      key,
      error,
      `Tried again without success. ${message === '' ? 'Check the endpoint and the network.' : ''}`.trim(),
    );
  }

  #failure(
    reason: 'LocationUnavailable' | 'LocationDenied' | 'LocationUnsuitable' | 'NoSpace',
    verb: string,
    key: string,
    error: unknown,
    advice: string,
  ): ArchiveError {
    const { name = '', code, message = '', $metadata } = error as ServiceError;
    const status = $metadata?.httpStatusCode;
    const what = [status, code ?? name, message]
      .filter((part) => part !== undefined && part !== '')
      .join(' ')
      .slice(0, 300);
    return new ArchiveError(reason, `${this.url}: ${verb} ${key} failed (${what}). ${advice}`, {
      cause: error,
    });
  }
}

/** Spares the SDK hashing the body for its signature, for which this thread would stand still. */
function signWith(command: PutObjectCommand, sha256: Buffer): void {
  command.middlewareStack.add(
    (next) => (args) => {
      const { headers } = args.request as { readonly headers: Record<string, string> };
      headers['x-amz-content-sha256'] = sha256.toString('hex');
      return next(args);
    },
    { step: 'build', name: 'bodyDigest' },
  );
}

interface RequestHow {
  readonly abortSignal?: AbortSignal;
}

/** An answer that was not what was asked for; another try may bring it. */
class BrokenAnswer extends Error {
  override readonly name = 'BrokenAnswer';
}

/** The MD5 that an ETag is; undefined where it is something else, as with keys of the server or several parts. */
function md5OfTag({
  ETag,
  ServerSideEncryption: encryption,
}: {
  readonly ETag?: string | undefined;
  readonly ServerSideEncryption?: string | undefined;
}): string | undefined {
  if (encryption !== undefined && encryption !== 'AES256') return undefined;
  return /^"?([0-9a-f]{32})"?$/.exec(ETag ?? '')?.[1];
}

const TRANSIENT_NAMES =
  /^(SlowDown|RequestTimeout|TimeoutError|ThrottlingException|Throttling|TooManyRequests.*|InternalError|ServiceUnavailable|BadDigest|IncompleteBody|OperationAborted|XAmzContent\w*Mismatch|RequestTimeTooSkewed|BrokenAnswer|NetworkingError|AbortError)$/;
const TRANSIENT_CODES =
  /^(ECONNRESET|ECONNREFUSED|ECONNABORTED|EPIPE|ETIMEDOUT|EAI_AGAIN|ENOTFOUND|EHOSTUNREACH|ENETUNREACH|UND_ERR.*|ERR_STREAM_PREMATURE_CLOSE)$/;

function isTransient(error: unknown): boolean {
  const { name = '', code = '', message = '', $metadata } = error as ServiceError;
  const status = $metadata?.httpStatusCode ?? 0;
  return (
    (status >= 500 && status !== 501 && status !== 507) ||
    status === 429 ||
    TRANSIENT_NAMES.test(name) ||
    TRANSIENT_CODES.test(code) ||
    /aborted|socket hang up|premature close/i.test(message)
  );
}
