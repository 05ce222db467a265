/**
 * Fields that a schedule passes on to its pods, checked here as strictly as Kubernetes checks them on a pod:
 * a mistake is refused when the schedule is applied, not when its first Job is created.
 */
import { z } from 'zod';
import { rules } from './schema.ts';

const DNS_LABEL = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const DNS_SUBDOMAIN = `${DNS_LABEL}(\\.${DNS_LABEL})*`;
const NAME = '[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?';
const KEY = `^(${DNS_SUBDOMAIN}/)?${NAME}$`;
/** 253 for the prefix, 63 for the name. */
const KEY_LENGTH = 317;

const Key = z.string().max(KEY_LENGTH).regex(new RegExp(KEY));
const Value = z
  .string()
  .max(63)
  .regex(new RegExp(`^(${NAME})?$`));

/** Keys of a map can only be checked by CEL, whose cost grows with the number of entries. */
const MAX_ENTRIES = 32;

/** A CEL string literal that needs no escaping inside. */
const raw = (pattern: string) => `r"""${pattern}"""`;

const keyRules = [
  {
    rule: `self.all(key, key.matches(${raw(KEY)}) && (!key.contains('/') || key.indexOf('/') <= 253))`,
    message:
      'each key must be a name of at most 63 letters, digits, "-", "_" and ".", optionally after a DNS domain and "/"',
  },
];

/** Kubernetes generates these on every Job and refuses other values. */
const RESERVED_LABELS = ['controller-uid', 'job-name'];

export const PodLabels = z.record(z.string(), Value).meta({
  maxProperties: MAX_ENTRIES,
  ...rules(...keyRules, {
    rule: `self.all(key, !(key in [${RESERVED_LABELS.map((label) => `'${label}'`).join(', ')}]) && !key.startsWith('batch.kubernetes.io/'))`,
    message: 'controller-uid, job-name and batch.kubernetes.io/… belong to the Job controller',
  }),
});

export const PodAnnotations = z
  .record(z.string(), z.string().max(65_536))
  .meta({ maxProperties: MAX_ENTRIES, ...rules(...keyRules) });

export const NodeSelector = z.record(z.string(), Value).meta({
  maxProperties: MAX_ENTRIES,
  ...rules(...keyRules),
});

/** As the API server reads a quantity; a negative one is never valid for a container. */
const QUANTITY = '^[+]?([0-9]+(\\.[0-9]*)?|\\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$';

const Quantity = z.union([z.int(), z.string()]).meta({
  'x-kubernetes-int-or-string': true,
  pattern: QUANTITY,
  minimum: 0,
  maxLength: 32,
});

const Amounts = z.record(z.string(), Quantity).meta({
  maxProperties: 16,
  ...rules({
    rule: `self.all(name, name in ['cpu', 'memory', 'ephemeral-storage'] || name.startsWith('hugepages-') || (name.contains('/') && name.matches(${raw(KEY)})))`,
    message:
      'each name must be cpu, memory, ephemeral-storage, hugepages-SIZE, or an extended resource such as example.com/device',
  }),
});

export const PodResources = z.object({ requests: Amounts.optional(), limits: Amounts.optional() }).meta(
  rules({
    rule: '!has(self.requests) || !has(self.limits) || self.requests.all(name, !(name in self.limits) || quantity(string(self.requests[name])).compareTo(quantity(string(self.limits[name]))) <= 0)',
    message: 'a request must not be larger than the limit of the same resource',
    fieldPath: '.requests',
  }),
);

export const Toleration = z
  .object({
    key: Key.optional(),
    operator: z.enum(['Exists', 'Equal', 'Lt', 'Gt']).optional(),
    value: Value.optional(),
    effect: z.enum(['NoSchedule', 'PreferNoSchedule', 'NoExecute']).optional(),
    tolerationSeconds: z.int().optional(),
  })
  .meta(
    rules(
      {
        rule: "has(self.key) || (has(self.operator) && self.operator == 'Exists')",
        message: 'without a key, operator must be Exists: it tolerates every taint',
      },
      {
        rule: "!has(self.operator) || self.operator != 'Exists' || !has(self.value) || self.value == ''",
        message: 'value must be absent with operator Exists',
      },
      {
        rule: "!has(self.operator) || !(self.operator in ['Lt', 'Gt']) || (has(self.value) && self.value.matches('^(0|[1-9][0-9]*)$'))",
        message: 'value must be a number with operator Lt or Gt',
      },
      {
        rule: "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
        message: 'tolerationSeconds needs effect NoExecute',
      },
    ),
  );

const MAX_TERMS = 16;
const list = <T extends z.ZodType>(type: T, maximum = MAX_TERMS) => z.array(type).max(maximum);

const NodeSelectorRequirement = z
  .object({
    key: Key,
    operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist', 'Gt', 'Lt']),
    values: list(Value, 64).optional(),
  })
  .meta(
    rules(
      {
        rule: "!(self.operator in ['In', 'NotIn']) || (has(self.values) && self.values.size() > 0)",
        message: 'operator In or NotIn needs values',
      },
      {
        rule: "!(self.operator in ['Exists', 'DoesNotExist']) || !has(self.values) || self.values.size() == 0",
        message: 'operator Exists or DoesNotExist takes no values',
      },
      {
        rule: "!(self.operator in ['Gt', 'Lt']) || (has(self.values) && self.values.size() == 1 && self.values[0].matches('^-?[0-9]+$'))",
        message: 'operator Gt or Lt takes exactly one whole number in values',
      },
    ),
  );

const NodeFieldRequirement = z.object({
  key: z.literal('metadata.name'),
  operator: z.enum(['In', 'NotIn']),
  values: z.array(z.string().max(253)).min(1).max(1),
});

const NodeSelectorTerm = z.object({
  matchExpressions: list(NodeSelectorRequirement).optional(),
  matchFields: list(NodeFieldRequirement).optional(),
});

const LabelSelector = z.object({
  matchLabels: z
    .record(z.string(), Value)
    .meta({ maxProperties: MAX_TERMS, ...rules(...keyRules) })
    .optional(),
  matchExpressions: list(
    z
      .object({
        key: Key,
        operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']),
        values: list(Value, 64).optional(),
      })
      .meta(
        rules({
          rule: "(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)",
          message: 'operator In or NotIn needs values; Exists or DoesNotExist takes none',
        }),
      ),
  ).optional(),
});

const PodAffinityTerm = z.object({
  topologyKey: Key.min(1),
  labelSelector: LabelSelector.optional(),
  namespaceSelector: LabelSelector.optional(),
  namespaces: list(
    z
      .string()
      .max(63)
      .regex(new RegExp(`^${DNS_LABEL}$`)),
    64,
  ).optional(),
  matchLabelKeys: list(Key).optional(),
  mismatchLabelKeys: list(Key).optional(),
});

const Weight = z.int().min(1).max(100);

const PodAffinity = z.object({
  requiredDuringSchedulingIgnoredDuringExecution: list(PodAffinityTerm).optional(),
  preferredDuringSchedulingIgnoredDuringExecution: list(
    z.object({ weight: Weight, podAffinityTerm: PodAffinityTerm }),
  ).optional(),
});

export const Affinity = z.object({
  nodeAffinity: z
    .object({
      requiredDuringSchedulingIgnoredDuringExecution: z
        .object({ nodeSelectorTerms: list(NodeSelectorTerm).min(1) })
        .optional(),
      preferredDuringSchedulingIgnoredDuringExecution: list(
        z.object({ weight: Weight, preference: NodeSelectorTerm }),
      ).optional(),
    })
    .optional(),
  podAffinity: PodAffinity.optional(),
  podAntiAffinity: PodAffinity.optional(),
});
