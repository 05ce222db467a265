/** The environment variables of OpenTelemetry that apply here. Pure. */
export interface TraceSettings {
  /** Address that takes `POST` of OTLP as JSON. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  /** Of the resource, such as `service.name`. */
  readonly attributes: Readonly<Record<string, string>>;
}

/** A variable has a value that cannot be used. */
export class TraceSettingsError extends Error {
  override name = 'TraceSettingsError';
}

type Environment = Readonly<Record<string, string | undefined>>;

const DEFAULT_ENDPOINT = 'http://localhost:4318';
const DEFAULT_TIMEOUT_MS = 10_000;

/** `a=1,b=2`, percent-encoded as in W3C Baggage. */
function pairs(name: string, text: string | undefined): Record<string, string> {
  const items = (text ?? '').split(',').filter((item) => item.trim() !== '');
  return Object.fromEntries(
    items.map((item) => {
      const equals = item.indexOf('=');
      if (equals < 1)
        throw new TraceSettingsError(`${name} must be KEY=VALUE,…; "${item}" has no key or no value`);
      try {
        return [item.slice(0, equals).trim(), decodeURIComponent(item.slice(equals + 1).trim())];
      } catch {
        throw new TraceSettingsError(`${name} has a value that is not percent-encoded: "${item}"`);
      }
    }),
  );
}

function urlOf(env: Environment): string {
  const own = env['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'];
  const common = env['OTEL_EXPORTER_OTLP_ENDPOINT'] || DEFAULT_ENDPOINT;
  const text = own || `${common.replace(/\/+$/, '')}/v1/traces`;
  const url = URL.parse(text);
  if (!url || !/^https?:$/.test(url.protocol))
    throw new TraceSettingsError(`the endpoint of traces must be an http or https address, not "${text}"`);
  return url.href;
}

function timeoutOf(env: Environment): number {
  const text = env['OTEL_EXPORTER_OTLP_TRACES_TIMEOUT'] || env['OTEL_EXPORTER_OTLP_TIMEOUT'];
  const ms = text ? Number(text) : DEFAULT_TIMEOUT_MS;
  if (!Number.isInteger(ms) || ms < 1)
    throw new TraceSettingsError(`OTEL_EXPORTER_OTLP_TIMEOUT must be milliseconds, not "${text}"`);
  return ms;
}

/**
 * @returns undefined unless `OTEL_TRACES_EXPORTER` is `otlp`.
 * @throws {TraceSettingsError} when a variable cannot be used.
 */
export function traceSettings(env: Environment, service: string): TraceSettings | undefined {
  const exporter = env['OTEL_TRACES_EXPORTER'] || 'none';
  if (exporter === 'none' || env['OTEL_SDK_DISABLED']?.toLowerCase() === 'true') return undefined;
  if (exporter !== 'otlp')
    throw new TraceSettingsError(`OTEL_TRACES_EXPORTER must be otlp or none, not "${exporter}"`);
  const protocol =
    env['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL'] || env['OTEL_EXPORTER_OTLP_PROTOCOL'] || 'http/json';
  if (protocol !== 'http/json')
    throw new TraceSettingsError(
      `OTEL_EXPORTER_OTLP_PROTOCOL must be http/json, which collectors take on port 4318; "${protocol}" is not supported`,
    );
  return {
    url: urlOf(env),
    headers: {
      ...pairs('OTEL_EXPORTER_OTLP_HEADERS', env['OTEL_EXPORTER_OTLP_HEADERS']),
      ...pairs('OTEL_EXPORTER_OTLP_TRACES_HEADERS', env['OTEL_EXPORTER_OTLP_TRACES_HEADERS']),
    },
    timeoutMs: timeoutOf(env),
    attributes: {
      'service.name': service,
      ...pairs('OTEL_RESOURCE_ATTRIBUTES', env['OTEL_RESOURCE_ATTRIBUTES']),
      ...(env['OTEL_SERVICE_NAME'] && { 'service.name': env['OTEL_SERVICE_NAME'] }),
    },
  };
}
