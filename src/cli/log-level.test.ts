import { expect, test } from 'vitest';
import { createLogger, type LogLevel } from '../log/index.ts';
import { switchLogLevelBySignal } from './log-level.ts';

test.each<[LogLevel, readonly string[]]>([
  ['info', ['debug', 'info']],
  ['error', ['debug', 'error']],
  ['debug', ['info', 'debug']],
])('a process that logs from %s logs from %j after one and two signals', (level, expected) => {
  const lines: string[] = [];
  const logger = createLogger({ level, stream: { write: (line) => void lines.push(line) } });
  using _ = switchLogLevelBySignal(logger);
  const seen = expected.map(() => {
    process.emit('SIGUSR2');
    return logger.level;
  });
  expect(seen).toEqual(expected);
  expect(lines.map((line) => JSON.parse(line).logLevel)).toEqual(expected);
});
