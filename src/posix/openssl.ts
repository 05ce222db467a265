/**
 * Calls into the OpenSSL that Node.js brings, for what `node:crypto` lacks: encrypting in place, without a new buffer for
 * each chunk, and hashing on another thread. Where the symbols are not found, `node:crypto` does the same, slower.
 */
import { createCipheriv, createDecipheriv, hash } from 'node:crypto';
import koffi from 'koffi';

export type DigestName = 'md5' | 'sha256';

interface OpenSsl {
  /** Encrypts or decrypts `length` bytes at the start of `chunk` in place; the tag stands behind them. */
  readonly seal: (key: Uint8Array, nonce: Uint8Array, chunk: Uint8Array, length: number) => void;
  readonly open: (key: Uint8Array, nonce: Uint8Array, chunk: Uint8Array, length: number) => boolean;
  readonly digest: (name: DigestName, bytes: Uint8Array) => Promise<Buffer>;
}

const ALGORITHM = 'chacha20-poly1305';
export const TAG_BYTES = 16;
const DIGEST_BYTES = { md5: 16, sha256: 32 } as const;
const GET_TAG = 0x10;
const SET_TAG = 0x11;

type Handle = object;
type Value = number | Uint8Array | Handle | null;
interface Call {
  (...values: Value[]): number;
  async: (...valuesAndCallback: (Value | ((error: unknown, status: number) => void))[]) => void;
}

let chosen: OpenSsl | undefined;

/** The fastest way that this build of Node.js offers. */
function openSsl(): OpenSsl {
  chosen ??= nativeOpenSsl() ?? nodeCrypto;
  return chosen;
}

/**
 * Encrypts a chunk with ChaCha20-Poly1305, in place.
 * @param chunk the plain bytes, and room for the tag behind them
 */
export function sealInPlace(key: Uint8Array, nonce: Uint8Array, chunk: Uint8Array): void {
  openSsl().seal(key, nonce, chunk, chunk.length - TAG_BYTES);
}

/**
 * Decrypts a chunk in place.
 * @param chunk the sealed bytes with their tag
 * @returns whether the tag is right; if not, the content is worthless
 */
export function openInPlace(key: Uint8Array, nonce: Uint8Array, chunk: Uint8Array): boolean {
  return openSsl().open(key, nonce, chunk, chunk.length - TAG_BYTES);
}

/** Hashes without blocking this thread. The bytes must not change meanwhile. */
export function digestInBackground(name: DigestName, bytes: Uint8Array): Promise<Buffer> {
  return openSsl().digest(name, bytes);
}

export const nodeCrypto: OpenSsl = {
  seal(key, nonce, chunk, length) {
    const cipher = createCipheriv(ALGORITHM, key, nonce, { authTagLength: TAG_BYTES });
    chunk.set(cipher.update(chunk.subarray(0, length)));
    cipher.final();
    chunk.set(cipher.getAuthTag(), length);
  },
  open(key, nonce, chunk, length) {
    const decipher = createDecipheriv(ALGORITHM, key, nonce, { authTagLength: TAG_BYTES });
    decipher.setAuthTag(chunk.subarray(length, length + TAG_BYTES));
    chunk.set(decipher.update(chunk.subarray(0, length)));
    try {
      decipher.final();
      return true;
    } catch {
      return false;
    }
  },
  digest: async (name, bytes) => hash(name, bytes, 'buffer'),
};

/** Undefined where the program does not export OpenSSL's functions. */
export function nativeOpenSsl(): OpenSsl | undefined {
  let library: ReturnType<typeof koffi.load>;
  const bind = (prototype: string) => library.func(prototype) as unknown as Call;
  const handle = (prototype: string) => (library.func(prototype) as () => Handle | null)();
  try {
    library = koffi.load(null);
    const context = handle('void *EVP_CIPHER_CTX_new()');
    const cipher = handle('void *EVP_chacha20_poly1305()');
    const digests = {
      md5: handle('void *EVP_md5()'),
      sha256: handle('void *EVP_sha256()'),
    };
    if (!context || !cipher) return undefined;
    const control = bind('int EVP_CIPHER_CTX_ctrl(void *ctx, int type, int size, void *bytes)');
    const functionsOf = (way: 'Encrypt' | 'Decrypt') => ({
      init: bind(
        `int EVP_${way}Init_ex(void *ctx, void *cipher, void *engine, const void *key, const void *iv)`,
      ),
      update: bind(`int EVP_${way}Update(void *ctx, void *out, void *written, const void *bytes, int size)`),
      final: bind(`int EVP_${way}Final_ex(void *ctx, void *out, void *written)`),
    });
    const encrypt = functionsOf('Encrypt');
    const decrypt = functionsOf('Decrypt');
    const digest = bind(
      'int EVP_Digest(const void *bytes, size_t size, void *out, void *outSize, void *type, void *engine)',
    );
    const written = Buffer.alloc(4);
    const rest = Buffer.alloc(TAG_BYTES);
    const must = (status: number) => {
      if (status !== 1) throw new Error('OpenSSL could not encrypt or decrypt');
    };
    return {
      seal(key, nonce, chunk, length) {
        must(encrypt.init(context, cipher, null, key, nonce));
        must(encrypt.update(context, chunk, written, chunk, length));
        must(encrypt.final(context, rest, written));
        must(control(context, GET_TAG, TAG_BYTES, chunk.subarray(length)));
      },
      open(key, nonce, chunk, length) {
        must(decrypt.init(context, cipher, null, key, nonce));
        must(control(context, SET_TAG, TAG_BYTES, chunk.subarray(length)));
        must(decrypt.update(context, chunk, written, chunk, length));
        return decrypt.final(context, rest, written) === 1;
      },
      digest: (name, bytes) =>
        new Promise((resolve, reject) => {
          const out = Buffer.alloc(DIGEST_BYTES[name]);
          digest.async(
            bytes,
            bytes.length,
            out,
            null,
            digests[name],
            null,
            (error: unknown, status: number) => {
              // koffi does not keep buffers alive during the call; this use of `bytes` does.
              if (error !== null) reject(error);
              else if (status === 1 && bytes.length >= 0) resolve(out);
              else nodeCrypto.digest(name, bytes).then(resolve, reject);
            },
          );
        }),
    };
  } catch {
    return undefined;
  }
}
