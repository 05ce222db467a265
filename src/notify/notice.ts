/** What is told about a run, and the requests that tell it. Pure. */
import { createHmac } from 'node:crypto';
import type { RunResult } from '../api/run-result.ts';

export type NoticePhase = 'started' | 'succeeded' | 'incomplete' | 'failed' | 'skipped';

/** One moment of a run. */
export interface Notice {
  /** Names the run; receivers may get a notice twice and recognize it by this and the phase. */
  readonly runId: string;
  /** `NAMESPACE/SCHEDULE`, or what else the archives of one source are called. */
  readonly series: string;
  readonly at: Date;
  /** Undefined when the run begins. */
  readonly result?: RunResult | undefined;
}

/** Who is told. */
export interface Receiver {
  readonly name: string;
  /**
   * - `webhook`: gets every notice as a CloudEvent.
   * - `ping`: a monitor in the style of healthchecks: `URL/start`, `URL`, `URL/fail`.
   */
  readonly kind: 'webhook' | 'ping';
  readonly url: URL;
  /** Signs webhooks. */
  readonly key?: Uint8Array | undefined;
}

export interface NoticeRequest {
  readonly url: URL;
  readonly method: 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export function phaseOf({ result }: Notice): NoticePhase {
  return result === undefined ? 'started' : (result.outcome.toLowerCase() as NoticePhase);
}

/** Bytes of text that a monitor shows beside a ping. */
const PING_BODY = 10_000;

/** @returns Undefined if the receiver is not told of this phase. */
export function requestOf(receiver: Receiver, notice: Notice): NoticeRequest | undefined {
  return receiver.kind === 'webhook' ? webhook(receiver, notice) : ping(receiver, notice);
}

/** A skipped run says nothing about the source: another one is under way, and pings for itself. */
const PINGS: Readonly<Record<NoticePhase, string | undefined>> = {
  started: '/start',
  succeeded: '',
  incomplete: '/fail',
  failed: '/fail',
  skipped: undefined,
};

function ping({ url }: Receiver, notice: Notice): NoticeRequest | undefined {
  const suffix = PINGS[phaseOf(notice)];
  if (suffix === undefined) return undefined;
  const target = new URL(url);
  target.pathname = `${target.pathname.replace(/\/$/, '')}${suffix}`;
  return {
    url: target,
    method: 'POST',
    headers: { 'content-type': 'text/plain; charset=utf-8' },
    body: (notice.result?.message ?? '').slice(0, PING_BODY),
  };
}

/** CloudEvents 1.0 in structured mode, signed as Standard Webhooks ask for. */
function webhook({ url, key }: Receiver, notice: Notice): NoticeRequest {
  const phase = phaseOf(notice);
  const id = `${notice.runId}.${phase}`;
  const body = JSON.stringify({
    specversion: '1.0',
    id,
    source: `/km-backup/${notice.series.split('/').map(encodeURIComponent).join('/')}`,
    type: `io.duskmantle.km.backup.${phase}`,
    subject: notice.runId,
    time: notice.at.toISOString(),
    datacontenttype: 'application/json',
    data: notice.result ?? {},
  });
  const timestamp = String(Math.floor(notice.at.getTime() / 1000));
  return {
    url,
    method: 'POST',
    headers: {
      'content-type': 'application/cloudevents+json; charset=utf-8',
      'webhook-id': id,
      'webhook-timestamp': timestamp,
      ...(key && { 'webhook-signature': signature(key, id, timestamp, body) }),
    },
    body,
  };
}

/** `v1,` and the base64 of HMAC-SHA-256 over id, timestamp and body. */
export function signature(key: Uint8Array, id: string, timestamp: string, body: string): string {
  return `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`;
}
