import { z } from 'zod';
import { exactlyOne, itemName, ResourceName, rules, unique } from './schema.ts';

const Receiver = z.object({
  secretRef: z.object({ name: ResourceName }).describe('Secret of the namespace.'),
});

export const Notification = z
  .object({
    name: itemName(40),
    webhook: Receiver.optional().describe(
      'Gets each notice as a CloudEvent. Key `url` of the Secret: the address. Key `key`: signs the notices (Standard Webhooks).',
    ),
    ping: Receiver.optional().describe(
      'A monitor in the style of healthchecks: URL/start, URL and URL/fail. Key `url` of the Secret: the address.',
    ),
  })
  .meta(rules(exactlyOne('webhook', 'ping')));
export type Notification = z.output<typeof Notification>;

export const Notifications = z
  .array(Notification)
  .max(5)
  .meta(rules(unique('name', 'every notification needs a name of its own')))
  .describe(
    'Who is told by the pod of a run when it begins and how it ended. Never in the way of the run. A run whose pod never starts tells nobody: alert on the metrics.',
  );
