const ianaName = /^[A-Za-z][A-Za-z0-9_+/-]*$/;

// Case does not matter in the names, so there are more spellings than zones.
const MAX_KNOWN_ZONES = 1000;
const knownZones = new Set<string>();

/** Whether the runtime's IANA database knows the zone. Fixed offsets such as `+01:00` are not zones. */
export function isTimeZone(name: string): boolean {
  if (knownZones.has(name)) return true;
  if (!ianaName.test(name) || name === 'Local') return false;
  try {
    // Not Intl, which takes 20 ms for the first one and knows names that Temporal refuses later.
    new Temporal.ZonedDateTime(0n, name);
    if (knownZones.size < MAX_KNOWN_ZONES) knownZones.add(name);
    return true;
  } catch {
    return false;
  }
}

/** A stretch of time with one UTC offset: `startMs` inclusive, `endMs` exclusive, wall clock = instant + offset. */
export interface OffsetSpan {
  startMs: number;
  endMs: number;
  offsetMs: number;
  /** Offset just before `startMs`; equal to `offsetMs` if the zone has no earlier span. */
  previousOffsetMs: number;
}

const MAX_CACHED_SPANS = 64;
const cache = new Map<string, OffsetSpan[]>();

function offsetAt(atMs: number, timeZone: string): number {
  const at = Temporal.Instant.fromEpochMilliseconds(atMs).toZonedDateTimeISO(timeZone);
  return Math.round(at.offsetNanoseconds / 1_000_000);
}

/** The span that contains the instant. Cached, because zones change rarely. */
export function offsetSpanAt(atMs: number, timeZone: string): OffsetSpan {
  let spans = cache.get(timeZone);
  const known = spans?.find((span) => span.startMs <= atMs && atMs < span.endMs);
  if (known) return known;
  if (!spans || spans.length >= MAX_CACHED_SPANS) {
    spans = [];
    cache.set(timeZone, spans);
  }
  const at = Temporal.Instant.fromEpochMilliseconds(atMs).toZonedDateTimeISO(timeZone);
  // `previous` means strictly before: starting one millisecond later also finds a change at this very instant.
  const start = at.add({ milliseconds: 1 }).getTimeZoneTransition('previous');
  const end = at.getTimeZoneTransition('next');
  const startMs = start ? start.epochMilliseconds : Number.NEGATIVE_INFINITY;
  const offsetMs = offsetAt(atMs, timeZone);
  const span = {
    startMs,
    endMs: end ? end.epochMilliseconds : Number.POSITIVE_INFINITY,
    offsetMs,
    previousOffsetMs: start ? offsetAt(startMs - 1, timeZone) : offsetMs,
  };
  spans.push(span);
  return span;
}
