/** Whether the manifests in the documentation are ones that the API server would take. */
import { parseAllDocuments } from 'yaml';
import { customResourceDefinition, RESOURCES } from '../../src/api/crd.ts';
import { GROUP } from '../../src/api/names.ts';

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: unknown;
  readonly items?: Schema;
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean;
}

type Fields = Readonly<Record<string, unknown>>;

const KINDS = RESOURCES.map((resource) => {
  const { versions } = customResourceDefinition(resource).spec;
  const { properties } = versions[0]!.schema.openAPIV3Schema as unknown as { properties: { spec: Schema } };
  return { resource, spec: properties.spec };
});

/** Objects of other groups whose fields are not checked, and configurations of other programs. */
const OTHERS = /^(apiVersion|kind|metadata|scrape_configs)$/;

/** What is wrong with a YAML text. `$NAME` stands for a value that a shell puts there. */
export function problemsOfYaml(text: string): string[] {
  const documents = parseAllDocuments(text.replaceAll(/\$\{\w+\}|\$\w+/g, 'placeholder'));
  if (!Array.isArray(documents)) return ['there is nothing'];
  return documents.flatMap((document) => {
    if (document.errors.length > 0) return document.errors.map(({ message }) => message);
    const value: unknown = document.toJS();
    if (typeof value !== 'object' || value === null) return ['not a map'];
    return problemsOfObject(value as Fields);
  });
}

function problemsOfObject(value: Fields): string[] {
  const { apiVersion, kind } = value;
  if (typeof apiVersion !== 'string') return problemsOfPart(value);
  if (!apiVersion.startsWith(`${GROUP}/`)) return [];
  const found = KINDS.find(({ resource }) => resource.kind === kind);
  if (!found) return [`there is no kind ${kind}`];
  const unknown = Object.keys(value).filter((field) => !/^(apiVersion|kind|metadata|spec)$/.test(field));
  const result = found.resource.spec.safeParse(value['spec']);
  return [
    ...unknown.map((field) => `${kind} has no field ${field}`),
    ...unknownFields(value['spec'], found.spec, 'spec'),
    ...(result.success
      ? []
      : result.error.issues.map(({ path, message }) => `spec.${path.join('.')}: ${message}`)),
  ];
}

/** A part of a manifest, such as `spec:` alone: some kind must have all of its fields. */
function problemsOfPart(value: Fields): string[] {
  if (Object.keys(value).every((field) => OTHERS.test(field))) return [];
  const spec = Object.keys(value).every((field) => field === 'spec') ? value['spec'] : value;
  const [fewest = []] = KINDS.map((kind) => unknownFields(spec, kind.spec, 'spec')).sort(
    (a, b) => a.length - b.length,
  );
  return fewest;
}

function unknownFields(value: unknown, schema: Schema | undefined, path: string): string[] {
  if (schema === undefined || schema['x-kubernetes-preserve-unknown-fields']) return [];
  if (Array.isArray(value))
    return value.flatMap((item, at) => unknownFields(item, schema.items, `${path}[${at}]`));
  if (typeof value !== 'object' || value === null || schema.additionalProperties) return [];
  if (!schema.properties) return [];
  return Object.entries(value).flatMap(([field, inner]) =>
    Object.hasOwn(schema.properties!, field)
      ? unknownFields(inner, schema.properties![field], `${path}.${field}`)
      : [`there is no field ${path}.${field}`],
  );
}
