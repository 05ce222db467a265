/** The shapes of the resources, from their CRDs: what src/api/whole.ts mends objects by. */
import { customResourceDefinition, RESOURCES } from '../src/api/crd.ts';
import type { Shape } from '../src/api/whole.ts';

interface Schema {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly additionalProperties?: Schema | boolean;
  readonly default?: unknown;
}

function shapeOf(schema: Schema): Shape {
  const { properties, required, additionalProperties: values } = schema;
  const type = schema.type === 'integer' ? 'number' : schema.type;
  const items = schema.items ?? (typeof values === 'object' ? values : undefined);
  return {
    type: (type ?? 'any') as Shape['type'],
    ...(properties && {
      fields: Object.fromEntries(Object.entries(properties).map(([name, field]) => [name, shapeOf(field)])),
    }),
    ...(required && { required }),
    ...(items && { items: shapeOf(items) }),
    ...(schema.default !== undefined && { default: schema.default }),
  };
}

/** As JSON with a line for each field of a spec or status, so that changes can be read. */
export function shapesFile(): string {
  const kinds = RESOURCES.map((resource) => {
    const { spec, status } = customResourceDefinition(resource).spec.versions[0]!.schema.openAPIV3Schema
      .properties as Record<'spec' | 'status', Schema>;
    return `${JSON.stringify(resource.kind)}: {\n"spec": ${lines(shapeOf(spec))},\n"status": ${lines(shapeOf(status))}\n}`;
  });
  return `{\n${kinds.join(',\n')}\n}\n`;
}

function lines({ fields = {}, ...rest }: Shape): string {
  const list = Object.entries(fields).map(
    ([name, field]) => `${JSON.stringify(name)}: ${JSON.stringify(field)}`,
  );
  return `${JSON.stringify(rest).slice(0, -1)},"fields": {\n${list.join(',\n')}\n}}`;
}
