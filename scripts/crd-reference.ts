import { customResourceDefinition, type ResourceDefinition } from '../src/api/crd.ts';
import { API_VERSION } from '../src/api/names.ts';

interface Schema {
  type?: string;
  description?: string;
  default?: unknown;
  enum?: unknown[];
  minimum?: number;
  maximum?: number;
  format?: string;
  required?: string[];
  properties?: Record<string, Schema>;
  items?: Schema;
  additionalProperties?: Schema;
  'x-kubernetes-int-or-string'?: boolean;
  'x-kubernetes-validations'?: { message?: string }[];
}

function typeOf(schema: Schema): string {
  if (schema.items) return `[]${typeOf(schema.items)}`;
  if (schema['x-kubernetes-int-or-string']) return 'quantity';
  if (schema.additionalProperties) return `map[string]${typeOf(schema.additionalProperties)}`;
  if (schema.enum) return schema.enum.map((value) => `\`${value}\``).join(', ');
  if (schema.format === 'date-time') return 'time';
  return schema.type ?? 'any';
}

function notes(schema: Schema): string {
  const parts = [schema.description ?? ''];
  const { minimum, maximum } = schema;
  if (minimum !== undefined && maximum !== undefined && maximum < 2147483647)
    parts.push(`${minimum} to ${maximum}.`);
  else if (minimum !== undefined) parts.push(`At least ${minimum}.`);
  for (const rule of schema['x-kubernetes-validations'] ?? [])
    if (rule.message) parts.push(`Rule: ${rule.message}.`);
  return parts.filter(Boolean).join(' ').replaceAll('|', '\\|');
}

/** Fields copied into pods; Kubernetes' own reference describes them. */
const AS_IN_A_POD = new Set(['spec.podTemplate.affinity']);

function rows(schema: Schema, path: string, out: string[]): void {
  for (const [name, child] of Object.entries(schema.properties ?? {})) {
    const field = path === '' ? name : `${path}.${name}`;
    const needed = schema.required?.includes(name) ? 'required' : '';
    const simple = child.default !== undefined && typeof child.default !== 'object';
    out.push(
      `| \`${field}\` | ${typeOf(child)} | ${simple ? `\`${child.default}\`` : needed} | ${notes(child)} |`,
    );
    if (AS_IN_A_POD.has(field)) continue;
    rows(child.items ?? child, child.items ? `${field}[]` : field, out);
  }
}

/** The reference page of all resources, in Markdown. */
export function crdReferencePage(resources: readonly ResourceDefinition[]): string {
  const out = [
    '# API reference',
    '',
    `Generated from \`src/api\` by \`npm run generate\`. API version \`${API_VERSION}\`.`,
    '',
  ];
  for (const resource of resources) {
    const version = customResourceDefinition(resource).spec.versions[0]!;
    const { spec, status } = version.schema.openAPIV3Schema.properties as { spec: Schema; status: Schema };
    out.push(
      `## ${resource.kind}`,
      '',
      `${resource.description} Short name: \`${resource.shortNames.join('`, `')}\`.`,
      '',
    );
    for (const [title, schema] of [
      ['Spec', spec],
      ['Status', status],
    ] as const) {
      out.push(
        `### ${resource.kind} ${title.toLowerCase()}`,
        '',
        '| Field | Type | Default | |',
        '| --- | --- | --- | --- |',
      );
      rows(schema, title.toLowerCase(), out);
      out.push('');
    }
  }
  return out.join('\n');
}
