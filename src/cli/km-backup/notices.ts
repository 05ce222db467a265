/** Tells receivers when a run begins and how it ended. Never in the way of the run. */
import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import type { RunResult } from '../../api/run-result.ts';
import { type Receiver, readReceiver, sendNotice } from '../../notify/index.ts';
import { collect } from './option-values.ts';
import { warn } from './output.ts';

export interface NoticeFlags {
  notifyWebhook: string[];
  notifyPing: string[];
  runId?: string;
}

export function addNoticeOptions(command: Command): Command {
  return command
    .option(
      '--notify-webhook <dir>',
      'tell the webhook whose address is in DIR/url how the run goes, signed by DIR/key; may be repeated',
      collect,
      [],
    )
    .option(
      '--notify-ping <dir>',
      'ping the monitor whose address is in DIR/url; may be repeated',
      collect,
      [],
    )
    .option('--run-id <id>', 'name of the run in logs and notices (default: a random one)');
}

/** How long a run that is over still waits for those that it told of its beginning. */
const GRACE_MS = 5_000;

export interface Notices {
  /** Waits until everybody was told, or the time for it is over. */
  readonly ended: (result: RunResult) => Promise<void>;
}

/** Reads the receivers and tells them that the run begins, without waiting for it. */
export function startNotices(
  { notifyWebhook, notifyPing, runId = randomUUID() }: NoticeFlags,
  series: string,
  signal: AbortSignal,
): Notices {
  const read = [
    ...notifyWebhook.map((folder) => readReceiver('webhook', folder)),
    ...notifyPing.map((folder) => readReceiver('ping', folder)),
  ];
  const receivers: Receiver[] = [];
  for (const one of read) {
    if ('receiver' in one) receivers.push(one.receiver);
    else tellOf(one.problem);
  }
  const send = async (at: Date, until: AbortSignal, result?: RunResult) => {
    const notice = { runId, series, at, result };
    for (const problem of await sendNotice(receivers, notice, { signal: until })) tellOf(problem);
  };
  const over = new AbortController();
  const begun = send(new Date(), AbortSignal.any([signal, over.signal]));
  return {
    ended: async (result) => {
      // Never after the end: a monitor that hears of the beginning last would wait for the end for ever.
      const grace = setTimeout(() => over.abort(), GRACE_MS);
      await begun;
      clearTimeout(grace);
      await send(new Date(), signal, result);
    },
  };
}

function tellOf(problem: string): void {
  warn(`notification ${problem}. The run is not affected.`);
}
