import { z } from 'zod';

/** A CEL rule of a CRD (`x-kubernetes-validations`); `self` is the value it stands on. */
export interface ValidationRule {
  rule: string;
  message?: string;
  messageExpression?: string;
  reason?: 'FieldValueInvalid' | 'FieldValueForbidden' | 'FieldValueRequired';
  fieldPath?: string;
}

/** Attaches CEL rules that the generated CRD carries. */
export function rules(...list: ValidationRule[]): Record<string, unknown> {
  return { 'x-kubernetes-validations': list };
}

/** Requires exactly one of some optional fields. */
export function exactlyOne(...fields: readonly string[]): ValidationRule {
  const counted = fields.map((field) => `(has(self.${field}) ? 1 : 0)`).join(' + ');
  return { rule: `${counted} == 1`, message: `must have exactly one of ${fields.join(', ')}` };
}

/** Requires the items of a list to differ in a field. */
export function unique(field: string, message: string): ValidationRule {
  return { rule: `self.all(one, self.exists_one(other, other.${field} == one.${field}))`, message };
}

/** Names an item of a list within its resource. */
export const itemName = (longest: number) =>
  z
    .string()
    .min(1)
    .max(longest)
    .meta(
      rules({
        rule: "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        message: 'must be lower-case letters, digits and "-"',
      }),
    );

export const Time = z.string().meta({ format: 'date-time' });

export const ResourceName = z
  .string()
  .min(1)
  .max(253)
  .meta(
    rules({
      rule: "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
      message: 'must be the name of an object: lower-case letters, digits, "-" and "."',
    }),
  );

/** A path below a volume's root. */
export const RelativePath = z
  .string()
  .min(1)
  .max(1024)
  .meta(
    rules(
      {
        rule: "!self.startsWith('/')",
        message: 'must be relative to the root of the volume: drop the leading "/"',
      },
      {
        rule: "!self.split('/').exists(part, part == '..')",
        message: 'must not contain "..": a backup never leaves its volume',
      },
      {
        rule: "!self.matches('(^|/)[.](/|$)|//')",
        message: 'must be written plainly, without "." or empty parts, as in "data/files"',
      },
      { rule: "!self.matches('[\\\\x00-\\\\x1f]')", message: 'must not contain control characters' },
    ),
  );

export const Quantity = z
  .string()
  .max(64)
  .meta(
    rules({
      rule: 'isQuantity(self) && quantity(self).isGreaterThan(quantity("0"))',
      message: 'must be a positive quantity such as 10Gi',
    }),
  );

/** `metav1.Condition`, see the Kubernetes API conventions. */
export const Condition = z.object({
  type: z.string().max(316),
  status: z.enum(['True', 'False', 'Unknown']),
  reason: z.string().max(1024),
  message: z.string().max(32768),
  lastTransitionTime: Time,
  observedGeneration: z.int().optional(),
});
export type Condition = z.infer<typeof Condition>;

export const Conditions = z.array(Condition).meta({
  'x-kubernetes-list-type': 'map',
  'x-kubernetes-list-map-keys': ['type'],
});
