export { SpanExporter } from './exporter.ts';
export { type TraceSettings, TraceSettingsError, traceSettings } from './settings.ts';
export { exportRequest, type Span } from './span.ts';
