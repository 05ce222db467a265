/** Spans, and how the OpenTelemetry protocol writes them as JSON (OTLP 1). Pure. */
export type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Span {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** 16 hexadecimal digits. */
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  /** Epoch milliseconds. */
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Attributes;
  /** Absent: nothing failed. */
  readonly error?: string;
}

const INTERNAL = 1;
const STATUS_ERROR = 2;

const nanoseconds = (ms: number) => String(BigInt(Math.round(ms)) * 1_000_000n);

function anyValue(value: string | number | boolean): object {
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  // 64-bit integers are strings in JSON.
  return Number.isSafeInteger(value) ? { intValue: String(value) } : { doubleValue: value };
}

function attributesOf(attributes: Attributes): object[] {
  return Object.entries(attributes).flatMap(([key, value]) =>
    value === undefined ? [] : [{ key, value: anyValue(value) }],
  );
}

/** The body of a request to `/v1/traces`. */
export function exportRequest(
  spans: readonly Span[],
  resource: Attributes,
  scope: { readonly name: string; readonly version: string },
): object {
  return {
    resourceSpans: [
      {
        resource: { attributes: attributesOf(resource) },
        scopeSpans: [
          {
            scope,
            spans: spans.map(({ startMs, endMs, attributes, error, ...span }) => ({
              ...span,
              kind: INTERNAL,
              startTimeUnixNano: nanoseconds(startMs),
              endTimeUnixNano: nanoseconds(endMs),
              attributes: attributesOf(attributes),
              status: error === undefined ? {} : { code: STATUS_ERROR, message: error },
            })),
          },
        ],
      },
    ],
  };
}
