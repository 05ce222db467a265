/** What the commands that list many objects have in common. */
import type { Column } from '../km-backup/fitted-table.ts';
import type { ClusterFlags } from './context.ts';
import type { OutputFlags } from './output.ts';

export interface ListFlags extends ClusterFlags, OutputFlags {
  readonly allNamespaces: boolean;
}

/** The namespace to list; undefined for all. */
export const listed = ({ allNamespaces }: ListFlags, namespace: string): string | undefined =>
  allNamespaces ? undefined : namespace;

/** Where nothing was found, in words. */
export const placeText = (namespace: string | undefined): string =>
  namespace === undefined ? 'in this cluster' : `in namespace ${namespace} (-A shows all)`;

export type MakeColumn<T> = (title: string, cell: (item: T) => string, rest?: Partial<Column>) => Column;

/** Makes columns with a cell for each item. */
export const columnsFor =
  <T>(items: readonly T[]): MakeColumn<T> =>
  (title, cell, rest = {}) => ({ title, cells: items.map(cell), ...rest });
