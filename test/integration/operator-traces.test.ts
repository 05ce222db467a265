/** Traces of a run, as a collector gets them from the real operator on a real API server. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json as bodyOf } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CheckResult, CopyResult } from '../../src/api/location-result.ts';
import { API_VERSION, LABELS } from '../../src/api/names.ts';
import { eventually } from '../support/kubectl.ts';
import { inScene } from '../support/operator-scene.ts';
import { cleanResult, type StubKubeletOptions } from '../support/stub-kubelet.ts';

const ARCHIVE = 'km-backup-20260301T010000Z.tgz';

interface Attribute {
  readonly key: string;
  readonly value: { readonly stringValue?: string; readonly intValue?: string; readonly boolValue?: boolean };
}
interface Received {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly Attribute[];
  readonly status: { readonly code?: number; readonly message?: string };
}
interface Export {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] };
    readonly scopeSpans: readonly {
      readonly scope: { readonly name: string };
      readonly spans: readonly Received[];
    }[];
  }[];
}

const requests: Export[] = [];
const server = createServer(async (request, response) => {
  requests.push((await bodyOf(request)) as Export);
  response.writeHead(200, { 'content-type': 'application/json' }).end('{"partialSuccess":{}}');
});
const before = { ...process.env };

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // What the operator of this file inherits.
  process.env['OTEL_TRACES_EXPORTER'] = 'otlp';
  process.env['OTEL_EXPORTER_OTLP_ENDPOINT'] = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  process.env['OTEL_RESOURCE_ATTRIBUTES'] = 'k8s.cluster.name=test';
});
afterAll(() => {
  for (const name of ['OTEL_TRACES_EXPORTER', 'OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_RESOURCE_ATTRIBUTES']) {
    if (before[name] === undefined) delete process.env[name];
    else process.env[name] = before[name];
  }
  server.close();
});

const attribute = ({ attributes }: { attributes: readonly Attribute[] }, key: string) => {
  const { value } = attributes.find((one) => one.key === key) ?? {};
  return value && Object.values(value)[0];
};
/** Runs of two scenes may have the same name. */
const spansOfRun = (namespace: string, run: string): Received[] =>
  requests
    .flatMap(({ resourceSpans }) => resourceSpans)
    .flatMap(({ scopeSpans }) => scopeSpans)
    .flatMap(({ spans }) => spans)
    .filter(
      (span) => attribute(span, 'k8s.namespace.name') === namespace && attribute(span, 'km.run.id') === run,
    );

const spansUntil = ({ namespace }: { readonly namespace: string }, run: string, names: readonly string[]) =>
  eventually(
    async () => spansOfRun(namespace, run),
    (spans) => names.every((name) => spans.some((span) => span.name === name)),
    (spans) => `spans ${names.join(', ')}; there are ${JSON.stringify(spans)}`,
  );

const times = () => ({ startedAt: new Date().toISOString(), finishedAt: new Date().toISOString() });
const empty = { count: 0, samples: [] };

const report: StubKubeletOptions['report'] = (pod) => {
  const component = pod.metadata.labels?.[LABELS.component];
  if (component === 'location-check') {
    const result: CheckResult = {
      ...{
        version: 1,
        command: 'check',
        outcome: 'Succeeded',
        reason: 'LocationChecked',
        message: 'Checked.',
      },
      ...times(),
      locationId: 'id-1',
      usage: { archives: 1, objects: 9, bytes: 900 },
    };
    return { exitCode: 0, result };
  }
  if (component === 'copy') {
    const result: CopyResult = {
      ...{ version: 1, command: 'copy', outcome: 'Succeeded', reason: 'CopyConfirmed', message: 'Copied.' },
      ...times(),
      ...{ archive: ARCHIVE, confirmed: [ARCHIVE], uploadedBytes: 1000, reusedBytes: 10 },
      ...{ pruned: { count: 0, failed: 0, names: [] }, present: { count: 1, bytes: 1010 }, foreign: 0 },
      warnings: empty,
    };
    return { exitCode: 0, result };
  }
  return { exitCode: 0, result: cleanResult(ARCHIVE) };
};

describe('traces', () => {
  it(
    'follow a run from its scheduled time to its copy, once, also across a restart of the operator',
    inScene(async (scene) => {
      scene.spawnOperator();
      await scene.kubelet(report);
      await scene.all.locations.create(scene.namespace, {
        apiVersion: API_VERSION,
        kind: 'KmBackupLocation',
        metadata: { name: 'offsite' },
        spec: {
          s3: { bucket: 'backups', credentialsSecretRef: { name: 'keys' } },
          encryption: { age: { recipients: [`age1${'q'.repeat(58)}`] } },
        },
      });
      await scene.schedule('notes', { copies: [{ locationRef: { name: 'offsite' } }] });
      const run = await scene.runNow('notes');
      const spans = await spansUntil(scene, run, ['run', 'wait', 'job', 'archive', 'copy']);
      expect(spans.map(({ name }) => name).toSorted()).toEqual(['archive', 'copy', 'job', 'run', 'wait']);
      const named = Object.fromEntries(spans.map((span) => [span.name, span]));
      expect(new Set(spans.map(({ traceId }) => traceId)).size).toBe(1);
      expect(named['run']!.parentSpanId).toBeUndefined();
      for (const name of ['wait', 'job', 'copy'])
        expect(named[name]!.parentSpanId).toBe(named['run']!.spanId);
      expect(named['archive']!.parentSpanId).toBe(named['job']!.spanId);
      for (const span of spans) {
        expect(BigInt(span.endTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(span.startTimeUnixNano));
        expect(span.status).toEqual({});
      }
      expect(attribute(named['run']!, 'km.phase')).toBe('Succeeded');
      expect(attribute(named['archive']!, 'km.archive.name')).toBe(ARCHIVE);
      expect(attribute(named['copy']!, 'km.copy.uploaded')).toBe('1000');
      const [{ resource, scopeSpans }] = requests.at(-1)!.resourceSpans as [Export['resourceSpans'][number]];
      expect([attribute(resource, 'service.name'), attribute(resource, 'k8s.cluster.name')]).toEqual([
        'km-backup-operator',
        'test',
      ]);
      expect(scopeSpans[0]!.scope.name).toBe('km-backup-operator');

      // The next leader sends what it cannot know to be sent, under the same ids.
      requests.length = 0;
      scene.spawnOperator();
      const again = await spansUntil(scene, run, ['run', 'wait', 'job', 'archive', 'copy']);
      expect(again.map(({ spanId }) => spanId).toSorted()).toEqual(
        spans.map(({ spanId }) => spanId).toSorted(),
      );
    }),
  );

  it(
    'name the error of a run that failed',
    inScene(async (scene) => {
      scene.spawnOperator();
      await scene.kubelet(() => ({
        exitCode: 1,
        result: {
          ...cleanResult(ARCHIVE),
          outcome: 'Failed',
          reason: 'NoSpace',
          message: 'The destination is full.',
        },
      }));
      await scene.schedule('notes', { backoffLimit: 0 });
      const run = await scene.runNow('notes');
      const [root] = (await spansUntil(scene, run, ['run', 'job'])).filter(({ name }) => name === 'run');
      expect(root!.status).toEqual({ code: 2, message: expect.stringContaining('The destination is full.') });
    }),
  );
});
