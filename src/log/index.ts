export { createLogger, isLogLevel, LOG_LEVELS, type Logger, type LogLevel } from './logger.ts';
export { printable } from './printable.ts';
