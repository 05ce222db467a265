/** Takes one line, without its newline. */
export type Log = (line: string) => void;

export const silent: Log = () => {};

const HEARTBEAT_MS = 15_000;

/** Runs `work` and logs its start, its duration, and a line every 15 s in between. */
export async function step<T>(log: Log, label: string, work: () => Promise<T>): Promise<T> {
  const start = performance.now();
  const seconds = () => ((performance.now() - start) / 1000).toFixed(1);
  log(`${label} ...`);
  const heartbeat = setInterval(() => log(`${label}: ${seconds()} s so far`), HEARTBEAT_MS);
  try {
    const result = await work();
    log(`${label}: done in ${seconds()} s`);
    return result;
  } catch (error) {
    log(`${label}: failed after ${seconds()} s`);
    throw error;
  } finally {
    clearInterval(heartbeat);
  }
}

/** A log for people: lines prefixed by the seconds since the program began. */
export function elapsedLog(out: NodeJS.WritableStream): Log {
  return (line) => void out.write(`[${(performance.now() / 1000).toFixed(1).padStart(6)}s] ${line}\n`);
}
