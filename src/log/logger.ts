import { type DestinationStream, type Logger as PinoLogger, pino, stdTimeFunctions } from 'pino';

export type Logger = PinoLogger;

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export function isLogLevel(text: string): text is LogLevel {
  return (LOG_LEVELS as readonly string[]).includes(text);
}

/** Logs one JSON object a line, by default to standard error: `level` as a word, `time` in ISO 8601, `msg`, and the given fields. */
export function createLogger(options: {
  level: LogLevel;
  name?: string;
  stream?: DestinationStream;
}): Logger {
  return pino(
    {
      level: options.level,
      base: options.name === undefined ? null : { name: options.name },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      depthLimit: 5,
      edgeLimit: 50,
    },
    options.stream ?? pino.destination({ fd: 2, sync: true }),
  );
}
