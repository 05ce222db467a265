import { isMap, isScalar, type Pair, parseDocument, type YAMLMap } from 'yaml';

interface ValueSchema {
  $ref?: string;
  type?: string | string[];
  enum?: string[];
  minimum?: number;
  maximum?: number;
  items?: ValueSchema;
  properties?: Record<string, ValueSchema>;
  definitions?: Record<string, ValueSchema>;
}

function resolved(schema: ValueSchema, root: ValueSchema): ValueSchema {
  const name = schema.$ref?.replace('#/definitions/', '');
  return name === undefined ? schema : (root.definitions?.[name] ?? {});
}

function typeOf(schema: ValueSchema, root: ValueSchema): string {
  const { type, enum: values, items, minimum, maximum } = resolved(schema, root);
  if (values) return values.map((value) => `\`${value}\``).join(', ');
  if (type === 'array') return items ? `list of ${typeOf(items, root)}` : 'list';
  const range =
    minimum !== undefined ? (maximum !== undefined ? ` ${minimum} to ${maximum}` : ` >= ${minimum}`) : '';
  return `${[type ?? 'any'].flat().join(' or ')}${range}`;
}

function commentOf(pair: Pair, map: YAMLMap): string {
  const comment = isScalar(pair.key) ? pair.key.commentBefore : undefined;
  // The comment of a map's first key belongs to the map in the syntax tree.
  const text = comment ?? (map.items[0] === pair ? map.commentBefore : undefined) ?? '';
  return text.replace(/\s*\n\s*/g, ' ').trim();
}

function rows(map: YAMLMap, schema: ValueSchema, root: ValueSchema, path: string): string[] {
  return map.items.flatMap((pair) => {
    const key = String(isScalar(pair.key) ? pair.key.value : pair.key);
    const name = path === '' ? key : `${path}.${key}`;
    const child = resolved(schema, root).properties?.[key];
    if (!child) throw new Error(`values.schema.json does not know ${name}: add it there`);
    const comment = commentOf(pair, map);
    if (isMap(pair.value) && resolved(child, root).properties && comment === '') {
      return rows(pair.value, child, root, name);
    }
    if (comment === '') throw new Error(`values.yaml: say above ${name} what it does`);
    const value = JSON.stringify((pair.value as { toJSON(): unknown }).toJSON());
    return [`| \`${name}\` | ${typeOf(child, root)} | \`${value}\` | ${comment.replaceAll('|', '\\|')} |`];
  });
}

/** The page of the chart's values, in Markdown: what and why from values.yaml, types from its schema. */
export function chartValuesPage(valuesYaml: string, schemaJson: string): string {
  const values = parseDocument(valuesYaml).contents;
  if (!isMap(values)) throw new Error('values.yaml is not a map');
  const schema = JSON.parse(schemaJson) as ValueSchema;
  return [
    '# Chart values',
    '',
    'Generated from the `values.yaml` and `values.schema.json` of `charts/km-backup-operator` by',
    '`npm run generate`. Helm refuses a value that the schema does not know.',
    '',
    '| Value | Type | Default | |',
    '| --- | --- | --- | --- |',
    ...rows(values, schema, schema, ''),
    '',
  ].join('\n');
}
