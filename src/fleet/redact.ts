/** Takes out of objects what a bug report must not hold. Pure. */

const REDACTED = '[redacted]';

/** Names of variables and fields whose values are secrets, whatever they hold. */
const SECRET =
  /pass(word|wd|phrase)?|secret|token|credential|api[-_]?key|access[-_]?key|private|identity|authorization/i;
/** Text that looks like a secret, wherever it stands. */
const PATTERNS: readonly RegExp[] = [
  /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g,
  /\bAGE-SECRET-KEY-1[0-9A-Z]+/gi,
  /\bAKIA[0-9A-Z]{16}\b/g,
  /\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*/g,
  /(?<=\bBearer\s+)[\w.~+/=-]+/gi,
  /(?<=:\/\/[^/\s:@]*:)[^/\s@]+(?=@)/g,
];

export function redactText(text: string): string {
  return PATTERNS.reduce((left, pattern) => left.replace(pattern, REDACTED), text);
}

/** Annotations that hold whole objects as others applied them. */
const COPIES = new Set(['kubectl.kubernetes.io/last-applied-configuration']);

/** A copy without managed fields, values of variables, and what looks like a secret. References to Secrets stay. */
export function redact(value: unknown, key = ''): unknown {
  if (typeof value === 'string') return redactText(value);
  if (Array.isArray(value))
    return value.map((item) => (key === 'env' ? redactVariable(item) : redact(item, key)));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).flatMap(([name, field]): [string, unknown][] => {
    if (name === 'managedFields' || COPIES.has(name)) return [];
    if (typeof field === 'string' && SECRET.test(name) && !isReference(name)) return [[name, REDACTED]];
    return [[name, redact(field, name)]];
  });
  return Object.fromEntries(entries);
}

/** `secretName`, `imagePullSecrets` and the like name a Secret, and do not hold it. */
const isReference = (name: string): boolean => /Name$|Ref$|^name$/.test(name);

function redactVariable(item: unknown): unknown {
  if (typeof item !== 'object' || item === null || !('value' in item)) return redact(item);
  return { ...item, value: REDACTED };
}
