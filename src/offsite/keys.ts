/** Names of the objects in a location. */

export const IDENTITY_KEY = 'km-location.json';
export const README_KEY = 'README.txt';
const PACKS = 'packs';
const ARCHIVES = 'archives';
const LIST_SUFFIX = '.list';
const INDEX_SUFFIX = '.index';
const MANIFEST_SUFFIX = '.manifest';
const SUSPICION_SUFFIX = '.suspicious';
const CATALOG_SUFFIX = '.catalog';
const SWEEP_SUFFIX = '.sweep';
export const SEALED_SUFFIX = '.age';

const escaped = (byte: number) => `~${byte.toString(16).toUpperCase().padStart(2, '0')}`;

/**
 * One part of a key: letters, digits and `-_.` stay, every other byte becomes `~XX`. The result is never empty, `.`,
 * `..` or `_`. `~` because URLs and shells leave it alone, while some servers decode `%` twice.
 */
export function encodePart(text: string): string {
  if (text === '') return '~';
  if (/^(\.+|_)$/.test(text)) return Array.from(Buffer.from(text), escaped).join('');
  return Array.from(Buffer.from(text, 'utf8'), (byte) => {
    const char = String.fromCharCode(byte);
    return /[A-Za-z0-9._-]/.test(char) ? char : escaped(byte);
  }).join('');
}

export function decodePart(part: string): string {
  if (part === '~') return '';
  return Buffer.from(
    part.replaceAll(/~([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  ).toString('utf8');
}

/** A series is `namespace/schedule`, or any text given on the command line; `_` stands for none. */
const seriesPart = (series: string) => (series === '' ? '_' : series.split('/').map(encodePart).join('/'));

export const seriesPrefix = (series: string): string => `${ARCHIVES}/${seriesPart(series)}/`;
export const packsPrefix = (series: string): string => `${PACKS}/${seriesPart(series)}/`;
export const listKey = (series: string, archive: string): string =>
  `${seriesPrefix(series)}${encodePart(archive)}${LIST_SUFFIX}`;
export const indexKey = (series: string, archive: string): string =>
  `${seriesPrefix(series)}${encodePart(archive)}${INDEX_SUFFIX}`;
/** A long manifest is stored in several parts. */
export const manifestKey = (series: string, archive: string, part: number, isSealed: boolean): string =>
  `${seriesPrefix(series)}${encodePart(archive)}${MANIFEST_SUFFIX}${part === 0 ? '' : `.${part}`}${isSealed ? SEALED_SUFFIX : ''}`;

/** The guard's record of a suspicious archive. */
export const suspicionKey = (series: string, archive: string): string =>
  `${seriesPrefix(series)}${encodePart(archive)}${SUSPICION_SUFFIX}`;

/** The archive that a record in the folder of a series is about; undefined for any other key. */
export function archiveOfSuspicion(series: string, key: string): string | undefined {
  const name = key.slice(seriesPrefix(series).length);
  const isRecord = name.endsWith(SUSPICION_SUFFIX) && !name.includes('/');
  return isRecord ? decodePart(name.slice(0, -SUSPICION_SUFFIX.length)) : undefined;
}

/** Which archives a writer has copied, so that a listing which leaves one out is noticed. */
export const catalogKey = (series: string, writer: string): string =>
  `${seriesPrefix(series)}${writer}${CATALOG_SUFFIX}`;
/** Packs that a sweep found dead, and when. */
export const sweepKey = (series: string, writer: string): string =>
  `${seriesPrefix(series)}${writer}${SWEEP_SUFFIX}`;

/**
 * The archive that a list belongs to; undefined for any other key, and for names that are no file name: whoever writes
 * the location must not choose where a fetched archive goes.
 */
export function archiveOfListKey(key: string): string | undefined {
  if (!key.endsWith(LIST_SUFFIX)) return undefined;
  const name = decodePart(key.slice(key.lastIndexOf('/') + 1, -LIST_SUFFIX.length));
  return /^\.{0,2}$|[/\0]/.test(name) ? undefined : name;
}

/** The series that a list belongs to. */
export function seriesOfListKey(key: string): string {
  const part = key.slice(ARCHIVES.length + 1, key.lastIndexOf('/'));
  return part === '_' ? '' : part.split('/').map(decodePart).join('/');
}

/** The writer of a catalog in the folder of a series; undefined for any other key. */
export const writerOfCatalog = (series: string, key: string): string | undefined =>
  writerOf(series, key, CATALOG_SUFFIX);

/** The same for the record of a sweep. */
export const writerOfSweep = (series: string, key: string): string | undefined =>
  writerOf(series, key, SWEEP_SUFFIX);

function writerOf(series: string, key: string, suffix: string): string | undefined {
  const name = key.slice(seriesPrefix(series).length);
  return name.endsWith(suffix) && !name.includes('/') ? name.slice(0, -suffix.length) : undefined;
}

/** A pack's file name: who wrote it, and random digits. */
export const packName = (writer: string, random: string, isSealed: boolean): string =>
  `${writer}-${random}.pack${isSealed ? SEALED_SUFFIX : ''}`;

/** The writer of a pack, from its key or file name. */
export const writerOfPack = (key: string): string =>
  key.slice(key.lastIndexOf('/') + 1).split('-', 1)[0] ?? '';
