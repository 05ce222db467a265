import { z } from 'zod';
import { ResourceName, rules } from './schema.ts';

const Receiver = z.object({
  secretRef: z.object({ name: ResourceName }).describe('Secret of the namespace.'),
});

export const Notification = z
  .object({
    name: z
      .string()
      .min(1)
      .max(40)
      .meta(
        rules({
          rule: "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
          message: 'must be lower-case letters, digits and "-"',
        }),
      ),
    webhook: Receiver.optional().describe(
      'Gets each notice as a CloudEvent. Key `url` of the Secret: the address. Key `key`: signs the notices (Standard Webhooks).',
    ),
    ping: Receiver.optional().describe(
      'A monitor in the style of healthchecks: URL/start, URL and URL/fail. Key `url` of the Secret: the address.',
    ),
  })
  .meta(
    rules({
      rule: '(has(self.webhook) ? 1 : 0) + (has(self.ping) ? 1 : 0) == 1',
      message: 'must have exactly one of webhook, ping',
    }),
  );
export type Notification = z.output<typeof Notification>;

export const Notifications = z
  .array(Notification)
  .max(5)
  .meta(
    rules({
      rule: 'self.all(one, self.exists_one(other, other.name == one.name))',
      message: 'every notification needs a name of its own',
    }),
  )
  .describe(
    'Who is told by the pod of a run when it begins and how it ended. Never in the way of the run. A run whose pod never starts tells nobody: alert on the metrics.',
  );
