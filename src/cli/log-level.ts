import type { Logger } from '../log/index.ts';

/** SIGUSR1 is taken: Node.js starts its debugger by it. */
const SIGNAL = 'SIGUSR2';

/** Each SIGUSR2 switches between `debug` and the level of the start, while the process goes on. */
export function switchLogLevelBySignal(logger: Logger): Disposable {
  const before = logger.level === 'debug' ? 'info' : logger.level;
  const onSignal = () => {
    const level = logger.level === 'debug' ? before : 'debug';
    // Said while `debug` applies, so that it is seen whatever the other level is.
    logger.level = 'debug';
    logger.info({ logLevel: level }, `${SIGNAL}: the log level is ${level} now`);
    logger.level = level;
  };
  process.on(SIGNAL, onSignal);
  return { [Symbol.dispose]: () => process.off(SIGNAL, onSignal) };
}
