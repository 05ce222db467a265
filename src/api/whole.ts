/**
 * Resources as their types say, whatever the API server has: an older CRD knows fewer fields and gives no defaults, and one
 * without a schema lets anything through. What does not fit is left out, and what is missing from a spec gets its default.
 */
import shapes from './shapes.json' with { type: 'json' };

/** Made from the schemas by `npm run generate`, so that nothing has to load the schema library. */
export interface Shape {
  readonly type: 'object' | 'array' | 'string' | 'number' | 'boolean' | 'any';
  readonly fields?: Readonly<Record<string, Shape>>;
  /** Names of the fields that an object must have. */
  readonly required?: readonly string[];
  /** Of an array, or of the values of a map. */
  readonly items?: Shape;
  readonly default?: unknown;
}

const SHAPES = shapes as unknown as Readonly<
  Record<string, { readonly spec: Shape; readonly status: Shape }>
>;

type Fields = Readonly<Record<string, unknown>>;

/** @returns The object itself if nothing is to be mended. */
export function whole<T extends object>(kind: string, object: T): T {
  const shape = Object.hasOwn(SHAPES, kind) ? SHAPES[kind] : undefined;
  if (!shape) return object;
  const { spec, status } = object as { spec?: unknown; status?: unknown };
  const mended = {
    spec: fitted(spec, shape.spec, true) ?? empty(shape.spec),
    status: fitted(status, shape.status, false),
  };
  if (mended.spec === spec && mended.status === status) return object;
  const { status: _, ...rest } = object as T & { status?: unknown };
  return { ...rest, spec: mended.spec, ...(mended.status !== undefined && { status: mended.status }) } as T;
}

/** @param fill Whether fields that are missing get their default, or an empty value if there must be one. */
function fitted(value: unknown, shape: Shape, fill: boolean): unknown {
  switch (shape.type) {
    case 'any':
      return value ?? undefined;
    case 'array':
      return Array.isArray(value) ? fittedList(value, shape.items, fill) : undefined;
    case 'object':
      return isFields(value) ? fittedFields(value, shape, fill) : undefined;
    default:
      return typeof value === shape.type ? value : undefined;
  }
}

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function fittedList(list: readonly unknown[], items: Shape | undefined, fill: boolean): readonly unknown[] {
  if (!items) return list;
  const mended = list.map((item) => fitted(item, items, fill));
  return mended.every((item, index) => item !== undefined && item === list[index])
    ? list
    : mended.filter((item) => item !== undefined);
}

function fittedFields(value: Fields, { fields, required, items }: Shape, fill: boolean): Fields {
  let result = value;
  const set = (name: string, next: unknown) => {
    if (next === value[name] && (next !== undefined || !Object.hasOwn(value, name))) return;
    const { [name]: _, ...rest } = result;
    result = next === undefined ? rest : { ...rest, [name]: next };
  };
  if (items) for (const name of Object.keys(value)) set(name, fitted(value[name], items, fill));
  if (!fields) return result;
  for (const name in fields) {
    const shape = fields[name]!;
    const found = Object.hasOwn(value, name) ? fitted(value[name], shape, fill) : undefined;
    set(name, found ?? (fill ? missing(shape, required?.includes(name) ?? false) : undefined));
  }
  return result;
}

function missing(shape: Shape, isRequired: boolean): unknown {
  if (shape.default !== undefined) return fitted(shape.default, shape, true);
  return isRequired ? empty(shape) : undefined;
}

function empty(shape: Shape): unknown {
  switch (shape.type) {
    case 'object':
      return fittedFields({}, shape, true);
    case 'array':
      return [];
    case 'string':
      return '';
    case 'number':
      return 0;
    default:
      return false;
  }
}
