export type { Notice, Receiver } from './notice.ts';
export { type ReadReceiver, readReceiver } from './receivers.ts';
export { sendNotice } from './send.ts';
