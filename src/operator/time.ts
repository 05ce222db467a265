/** `metav1.Time`: RFC 3339 in UTC, whole seconds. */
export function toTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/** Epoch milliseconds of a `metav1.Time`. */
export function fromTime(time: string): number {
  return Date.parse(time);
}
