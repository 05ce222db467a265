import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json as bodyOf } from 'node:stream/consumers';
import { afterEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../clock/testing/fake-clock.ts';
import { exportRequest, type Span, SpanExporter, TraceSettingsError, traceSettings } from './index.ts';

const span = (name: string): Span => ({
  traceId: 'a'.repeat(32),
  spanId: 'b'.repeat(16),
  name,
  startMs: 1_795_721_094_081,
  endMs: 1_795_721_095_000,
  attributes: { text: 'x', whole: 3, part: 0.5, yes: true, none: undefined },
});

describe('settings', () => {
  it.each([
    [{}, undefined],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318' }, undefined],
    [{ OTEL_TRACES_EXPORTER: 'none' }, undefined],
    [{ OTEL_TRACES_EXPORTER: '' }, undefined],
    [{ OTEL_TRACES_EXPORTER: 'otlp', OTEL_SDK_DISABLED: 'true' }, undefined],
    [{ OTEL_TRACES_EXPORTER: 'otlp' }, 'http://localhost:4318/v1/traces'],
    [
      { OTEL_TRACES_EXPORTER: 'otlp', OTEL_EXPORTER_OTLP_ENDPOINT: 'https://c/otlp/' },
      'https://c/otlp/v1/traces',
    ],
    [
      {
        OTEL_TRACES_EXPORTER: 'otlp',
        OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c',
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://t/own',
      },
      'http://t/own',
    ],
  ])('%j', (env, url) => {
    expect(traceSettings(env, 'me')?.url).toBe(url);
  });

  it('headers, timeout and resource', () => {
    const env = {
      OTEL_TRACES_EXPORTER: 'otlp',
      OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20x, a=1',
      OTEL_EXPORTER_OTLP_TRACES_HEADERS: 'a=2',
      OTEL_EXPORTER_OTLP_TIMEOUT: '250',
      OTEL_RESOURCE_ATTRIBUTES: 'k8s.cluster.name=prod,service.name=other',
      OTEL_SERVICE_NAME: 'mine',
    };
    expect(traceSettings(env, 'me')).toMatchObject({
      headers: { authorization: 'Bearer x', a: '2' },
      timeoutMs: 250,
      attributes: { 'service.name': 'mine', 'k8s.cluster.name': 'prod' },
    });
    expect(traceSettings({ OTEL_TRACES_EXPORTER: 'otlp' }, 'me')?.attributes).toEqual({
      'service.name': 'me',
    });
  });

  it.each([
    [{ OTEL_TRACES_EXPORTER: 'zipkin' }, /must be otlp or none/],
    [{ OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, /"grpc" is not supported/],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4318' }, /http or https address/],
    [{ OTEL_EXPORTER_OTLP_HEADERS: 'nothing' }, /OTEL_EXPORTER_OTLP_HEADERS must be/],
    [{ OTEL_EXPORTER_OTLP_HEADERS: 'a=%zz' }, /percent-encoded/],
    [{ OTEL_EXPORTER_OTLP_TIMEOUT: 'soon' }, /milliseconds/],
  ])('%j is refused', (env, words) => {
    const ask = () => traceSettings({ OTEL_TRACES_EXPORTER: 'otlp', ...env }, 'me');
    expect(ask).toThrow(TraceSettingsError);
    expect(ask).toThrow(words);
  });
});

it('spans are written as the protocol says', () => {
  const request = exportRequest(
    [{ ...span('run'), error: 'no space' }],
    { 'service.name': 'me' },
    { name: 's', version: '1' },
  );
  expect(request).toEqual({
    resourceSpans: [
      {
        resource: { attributes: [{ key: 'service.name', value: { stringValue: 'me' } }] },
        scopeSpans: [
          {
            scope: { name: 's', version: '1' },
            spans: [
              {
                traceId: 'a'.repeat(32),
                spanId: 'b'.repeat(16),
                name: 'run',
                kind: 1,
                startTimeUnixNano: '1795721094081000000',
                endTimeUnixNano: '1795721095000000000',
                attributes: [
                  { key: 'text', value: { stringValue: 'x' } },
                  { key: 'whole', value: { intValue: '3' } },
                  { key: 'part', value: { doubleValue: 0.5 } },
                  { key: 'yes', value: { boolValue: true } },
                ],
                status: { code: 2, message: 'no space' },
              },
            ],
          },
        ],
      },
    ],
  });
});

describe('the exporter', () => {
  const closing: (() => void)[] = [];
  afterEach(() => {
    for (const close of closing.splice(0)) close();
  });

  interface Body {
    resourceSpans: { scopeSpans: { spans: { name: string }[] }[] }[];
  }

  /** A collector that answers with these statuses, the last one for ever. */
  async function collector(...statuses: number[]) {
    const got: { headers: IncomingMessage['headers']; url: string; names: string[] }[] = [];
    const server = createServer(async (request, response) => {
      const body = (await bodyOf(request)) as Body;
      const names = body.resourceSpans.flatMap((r) =>
        r.scopeSpans.flatMap((s) => s.spans.map((one) => one.name)),
      );
      got.push({ headers: request.headers, url: request.url!, names });
      response.writeHead(statuses.length > 1 ? statuses.shift()! : statuses[0]!).end('{}');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closing.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    const clock = new FakeClock();
    const states: unknown[] = [];
    const settings = traceSettings(
      {
        OTEL_TRACES_EXPORTER: 'otlp',
        OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
        OTEL_EXPORTER_OTLP_HEADERS: 'k=v',
      },
      'me',
    )!;
    const exporter = new SpanExporter({
      settings,
      scope: { name: 's', version: '1' },
      clock,
      onState: (state) => states.push(state),
    });
    /** Lets time pass until the spans are delivered or lost. */
    const settle = async () => {
      let done = false;
      const flushed = exporter.flush().then(() => {
        done = true;
      });
      while (!done) {
        await clock.advanceAsync(1_000);
        await new Promise((resolve) => setImmediate(resolve));
      }
      await flushed;
    };
    return { exporter, got, states, clock, settle, server };
  }

  it('gathers spans and sends them in one request', async () => {
    const { exporter, got, states, settle } = await collector(200);
    exporter.add([span('one')]);
    exporter.add([span('two')]);
    await settle();
    expect(got).toMatchObject([{ url: '/v1/traces', names: ['one', 'two'], headers: { k: 'v' } }]);
    expect(states).toEqual([]);
  });

  it('tries again where the protocol says so', async () => {
    const { exporter, got, states, settle } = await collector(503, 429, 200);
    exporter.add([span('one')]);
    await settle();
    expect(got.map(({ names }) => names)).toEqual([['one'], ['one'], ['one']]);
    expect(states).toEqual([]);
  });

  it('gives up a request that is refused, and says so once', async () => {
    const { exporter, got, states, settle } = await collector(400, 400, 200, 200);
    for (const name of ['one', 'two', 'three', 'four']) {
      exporter.add([span(name)]);
      await settle();
    }
    expect(got).toHaveLength(4);
    expect(states).toEqual([{ lost: 'the collector answered 400' }, 'sent']);
  });

  it('a collector that is away costs traces and nothing else', async () => {
    const { exporter, states, settle, server } = await collector(200);
    await new Promise((resolve) => server.close(resolve));
    exporter.add([span('one')]);
    await settle();
    expect(states).toEqual([{ lost: expect.stringContaining('ECONNREFUSED') }]);
  });

  it('memory is bounded: the oldest spans go', async () => {
    const { exporter, got, states, settle } = await collector(200);
    exporter.add(Array.from({ length: 5_000 }, (_, index) => span(`s${index}`)));
    await settle();
    const names = got.flatMap((one) => one.names);
    expect([names.length, names[0], names.at(-1)]).toEqual([4_096, 's904', 's4999']);
    expect(states[0]).toEqual({ lost: 'too many wait for the collector' });
  });
});
