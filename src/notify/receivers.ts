/** Reads receivers from folders, as a Secret is mounted: `url`, and for webhooks `key`. */
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { codeOf } from '../posix/system-error.ts';
import type { Receiver } from './notice.ts';

/** A receiver, or why there is none. Neither holds the URL in words: it is a secret. */
export type ReadReceiver = { readonly receiver: Receiver } | { readonly problem: string };

const KEY_PREFIX = 'whsec_';

export function readReceiver(kind: Receiver['kind'], folder: string): ReadReceiver {
  const name = basename(folder);
  const problem = (text: string) => ({ problem: `${name}: ${text}` });
  let text: string | undefined;
  let key: string | undefined;
  try {
    text = read(join(folder, 'url'));
    key = kind === 'webhook' ? read(join(folder, 'key')) : undefined;
  } catch (error) {
    return problem(`its Secret cannot be read (${codeOf(error) ?? 'unknown error'})`);
  }
  if (!text) return problem('its Secret does not exist, or has no key "url"');
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !['http:', 'https:'].includes(url.protocol))
    return problem('the key "url" of its Secret is not an http or https address');
  return { receiver: { name, kind, url, ...(key && { key: bytesOf(key) }) } };
}

/** @returns Undefined if there is no such file. */
function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Standard Webhooks write keys as `whsec_` and base64; anything else is taken as it is. */
function bytesOf(key: string): Uint8Array {
  return key.startsWith(KEY_PREFIX)
    ? Buffer.from(key.slice(KEY_PREFIX.length), 'base64')
    : Buffer.from(key, 'utf8');
}
