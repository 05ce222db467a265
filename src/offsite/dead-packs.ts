/** Packs that a sweep found dead, and when: they are deleted only if a later sweep finds them dead again. */
import { seriesPrefix, sweepKey, writerOfSweep } from './keys.ts';
import type { Location } from './location.ts';

/** ISO time of the first sweep that found a pack dead, by the pack's name. */
export async function readDead(
  location: Location,
  series: string,
  writer: string,
): Promise<ReadonlyMap<string, string>> {
  const bytes = await location.get(sweepKey(series, writer));
  if (!bytes) return new Map();
  try {
    const { dead } = JSON.parse(bytes.toString('utf8')) as { dead: Record<string, string> };
    return new Map(Object.entries(dead).filter(([, since]) => !Number.isNaN(Date.parse(since))));
  } catch {
    // Damaged: packs wait for the grace time once more.
    return new Map();
  }
}

export async function writeDead(
  location: Location,
  series: string,
  writer: string,
  dead: ReadonlyMap<string, string>,
): Promise<void> {
  const text = JSON.stringify({ version: 1, dead: Object.fromEntries(dead) });
  await location.put(sweepKey(series, writer), Buffer.from(`${text}\n`));
}

/** Takes back that packs are dead, whoever found it: a copy is about to use them. */
export async function unmarkDead(
  location: Location,
  series: string,
  packs: ReadonlySet<string>,
): Promise<void> {
  if (packs.size === 0) return;
  for await (const { key } of location.list(seriesPrefix(series))) {
    const writer = writerOfSweep(series, key);
    if (writer === undefined) continue;
    const dead = await readDead(location, series, writer);
    const rest = new Map([...dead].filter(([pack]) => !packs.has(pack)));
    if (rest.size < dead.size) await writeDead(location, series, writer, rest);
  }
}
