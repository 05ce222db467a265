/** Classes of archives as letters. Apart from the schemas, which a run of km-backup does not load. */
import type { ArchiveClass } from '../retention/index.ts';

export type { ArchiveClass };

const CLASS_OF: Readonly<Record<string, ArchiveClass>> = {
  c: 'complete',
  i: 'incomplete',
  u: 'unverified',
  x: 'corrupt',
};
const LETTER_OF = Object.fromEntries(Object.entries(CLASS_OF).map(([letter, name]) => [name, letter]));

/** One letter for each class: the result must fit the termination message. */
export const classLetters = (classes: readonly ArchiveClass[]): string =>
  classes.map((name) => LETTER_OF[name]).join('');

/** The class of the archive at this index; undefined if the report does not have it. */
export const classAt = (letters: string | undefined, index: number): ArchiveClass | undefined =>
  CLASS_OF[letters?.[index] ?? ''];
