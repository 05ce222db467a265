/** Dashboards of Grafana as JSON: panels in rows, laid out from left to right. */
export type Json = Readonly<Record<string, unknown>>;

/** A variable of Grafana. */
export const variableOf = (name: string) => `\${${name}}`;
const DATASOURCE = { type: 'prometheus', uid: variableOf('datasource') };

interface Query {
  readonly expr: string;
  readonly legend?: string;
}

export type PanelType = 'stat' | 'timeseries' | 'table' | 'state-timeline';

export interface Threshold {
  readonly color: string;
  readonly value: number | null;
}

/** What a value is called, and its color. */
export type Mapping = Readonly<Record<string, { readonly text: string; readonly color?: string }>>;

export interface Panel {
  readonly title: string;
  readonly queries: readonly Query[];
  readonly type?: PanelType;
  readonly unit?: string;
  readonly decimals?: number;
  readonly what?: string;
  readonly thresholds?: readonly Threshold[];
  readonly mapping?: Mapping;
  /** Shown where no series is. */
  readonly noValue?: string;
  /** Least time between two points, such as `1h`. */
  readonly interval?: string;
  /** Of a time series, such as bars. */
  readonly custom?: Json;
  /** Of single series or columns. */
  readonly overrides?: readonly Json[];
  readonly transformations?: readonly Json[];
  readonly options?: Json;
  readonly width?: number;
  readonly height?: number;
}

export type Rows = readonly (readonly [title: string, panels: readonly Panel[]])[];

function variable(name: string, query: string, many: boolean): Json {
  return {
    name,
    type: 'query',
    datasource: DATASOURCE,
    query: { query, refId: 'v' },
    definition: query,
    refresh: 2,
    ...(many && {
      includeAll: true,
      multi: true,
      allValue: '.*',
      current: { text: 'All', value: '$__all' },
    }),
  };
}

function panelsOf(rows: Rows): Json[] {
  const made: Json[] = [];
  let y = 0;
  for (const [title, panels] of rows) {
    made.push({
      id: made.length + 1,
      type: 'row',
      title,
      collapsed: false,
      panels: [],
      gridPos: { x: 0, y, w: 24, h: 1 },
    });
    y += 1;
    let [x, height] = [0, 0];
    for (const panel of panels) {
      const { width: w = 12, height: h = 8 } = panel;
      if (x + w > 24) {
        y += height;
        [x, height] = [0, 0];
      }
      made.push(panelOf(panel, made.length + 1, { x, y, w, h }));
      x += w;
      height = Math.max(height, h);
    }
    y += height;
  }
  return made;
}

/** Settings of a field that a panel and an override share. */
export const fieldOf = ({
  thresholds,
  mapping,
}: {
  readonly thresholds?: Panel['thresholds'] | undefined;
  readonly mapping?: Mapping | undefined;
}) => ({
  // What a mapping gives no color must not get that of the default thresholds.
  ...(thresholds || mapping
    ? { thresholds: { mode: 'absolute', steps: thresholds ?? [{ color: 'text', value: null }] } }
    : {}),
  ...(mapping && { mappings: [{ type: 'value', options: mapping }] }),
});

function panelOf(panel: Panel, id: number, gridPos: Json): Json {
  const { title, queries, type = 'timeseries', unit = 'short', what = '' } = panel;
  const { thresholds, mapping, decimals, noValue, interval, custom, overrides = [], options = {} } = panel;
  // The last value of a range would outlive its series.
  const instant = type === 'table' || type === 'stat';
  return {
    id,
    type,
    title,
    description: what,
    gridPos,
    datasource: DATASOURCE,
    ...(interval && { interval }),
    fieldConfig: {
      defaults: {
        unit,
        ...(decimals !== undefined && { decimals }),
        ...(noValue !== undefined && { noValue }),
        ...((thresholds || mapping) && { color: { mode: 'thresholds' } }),
        ...fieldOf({ thresholds, mapping }),
        ...(custom && { custom }),
      },
      overrides,
    },
    targets: queries.map(({ expr, legend = '' }, index) => ({
      expr,
      legendFormat: legend,
      refId: String.fromCharCode(65 + index),
      datasource: DATASOURCE,
      ...(instant && { instant: true, range: false }),
      ...(type === 'table' && { format: 'table' }),
    })),
    options,
    ...(panel.transformations && { transformations: panel.transformations }),
  };
}

export function dashboard(uid: string, title: string, many: boolean, rows: Rows): string {
  const inNamespace = many ? 'namespace=~"$namespace"' : 'namespace="$namespace"';
  return `${JSON.stringify(
    {
      title,
      uid,
      schemaVersion: 39,
      editable: true,
      tags: ['backup'],
      time: { from: many ? 'now-24h' : 'now-7d', to: 'now' },
      refresh: '1m',
      links: [
        { type: 'dashboards', tags: ['backup'], title: 'Backups', asDropdown: false, includeVars: false },
      ],
      templating: {
        list: [
          { name: 'datasource', type: 'datasource', query: 'prometheus' },
          variable('namespace', 'label_values(km_backup_suspended, namespace)', many),
          variable('schedule', `label_values(km_backup_suspended{${inNamespace}}, schedule)`, many),
        ],
      },
      panels: panelsOf(rows),
    },
    null,
    2,
  )}\n`;
}
