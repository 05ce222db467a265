import { z } from 'zod';
import { KmBackupSpec, KmBackupStatus } from './backup.ts';
import { KmBackupScheduleSpec, KmBackupScheduleStatus } from './backup-schedule.ts';
import { KmBackupLocationSpec, KmBackupLocationStatus } from './location.ts';
import { GROUP, VERSION } from './names.ts';
import { KmRestoreSpec, KmRestoreStatus } from './restore.ts';

export interface PrinterColumn {
  name: string;
  type: 'string' | 'integer' | 'boolean' | 'date' | 'number';
  jsonPath: string;
  description?: string;
  /** 0 is shown by default, more only with `-o wide`. */
  priority?: number;
}

export interface ResourceDefinition {
  kind: string;
  singular: string;
  plural: string;
  shortNames: string[];
  description: string;
  spec: z.ZodType;
  status: z.ZodType;
  columns: PrinterColumn[];
  /** Paths for `kubectl get --field-selector`. */
  selectableFields?: string[];
}

const age: PrinterColumn = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' };

export const RESOURCES: readonly ResourceDefinition[] = [
  {
    kind: 'KmBackupSchedule',
    singular: 'kmbackupschedule',
    plural: 'kmbackupschedules',
    shortNames: ['kmbs'],
    description: 'Says what to back up, when, where to, and how many archives to keep.',
    spec: KmBackupScheduleSpec,
    status: KmBackupScheduleStatus,
    columns: [
      { name: 'Schedule', type: 'string', jsonPath: '.status.schedule' },
      { name: 'Suspend', type: 'boolean', jsonPath: '.spec.suspend' },
      { name: 'Last Success', type: 'date', jsonPath: '.status.lastSuccessfulTime' },
      { name: 'Next', type: 'string', jsonPath: '.status.nextScheduleTime' },
      { name: 'Archives', type: 'integer', jsonPath: '.status.archives.count' },
      { name: 'Status', type: 'string', jsonPath: '.status.conditions[?(@.type=="Healthy")].reason' },
      { name: 'Drill', type: 'string', jsonPath: '.status.lastDrillResult', priority: 1 },
      { name: 'Last Drill', type: 'date', jsonPath: '.status.lastDrillTime', priority: 1 },
      {
        name: 'Copies',
        type: 'string',
        description: 'Whether every location of spec.copies has the newest archive.',
        jsonPath: '.status.conditions[?(@.type=="Copied")].reason',
        priority: 1,
      },
      { name: 'Missed', type: 'integer', jsonPath: '.status.missedSlots', priority: 1 },
      {
        name: 'Message',
        type: 'string',
        jsonPath: '.status.conditions[?(@.type=="Healthy")].message',
        priority: 1,
      },
      age,
    ],
  },
  {
    kind: 'KmBackup',
    singular: 'kmbackup',
    plural: 'kmbackups',
    shortNames: ['kmb'],
    description: 'One run of a schedule and the archive it made.',
    spec: KmBackupSpec,
    status: KmBackupStatus,
    columns: [
      { name: 'Schedule', type: 'string', jsonPath: '.spec.scheduleName' },
      { name: 'Phase', type: 'string', jsonPath: '.status.phase' },
      { name: 'Archive', type: 'string', jsonPath: '.status.archive.name' },
      { name: 'Bytes', type: 'integer', jsonPath: '.status.archive.sizeBytes' },
      { name: 'Files', type: 'integer', jsonPath: '.status.archive.files' },
      { name: 'Seconds', type: 'number', jsonPath: '.status.durationSeconds' },
      { name: 'Warnings', type: 'integer', jsonPath: '.status.warnings.count', priority: 1 },
      { name: 'Message', type: 'string', jsonPath: '.status.message', priority: 1 },
      age,
    ],
    selectableFields: ['.spec.scheduleName'],
  },
  {
    kind: 'KmRestore',
    singular: 'kmrestore',
    plural: 'kmrestores',
    shortNames: ['kmr'],
    description: 'Brings an archive back, proves it, and undoes it if it fails.',
    spec: KmRestoreSpec,
    status: KmRestoreStatus,
    columns: [
      { name: 'Phase', type: 'string', jsonPath: '.status.phase' },
      { name: 'Reason', type: 'string', jsonPath: '.status.reason' },
      { name: 'Data Age', type: 'date', jsonPath: '.status.resolved.archiveTime' },
      { name: 'Seconds', type: 'number', jsonPath: '.status.recoverySeconds' },
      { name: 'Archive', type: 'string', jsonPath: '.status.resolved.archive.name', priority: 1 },
      { name: 'Added', type: 'integer', jsonPath: '.status.plan.added', priority: 1 },
      { name: 'Changed', type: 'integer', jsonPath: '.status.plan.changed', priority: 1 },
      { name: 'Removed', type: 'integer', jsonPath: '.status.plan.removed', priority: 1 },
      { name: 'Message', type: 'string', jsonPath: '.status.message', priority: 1 },
      age,
    ],
  },
  {
    kind: 'KmBackupLocation',
    singular: 'kmbackuplocation',
    plural: 'kmbackuplocations',
    shortNames: ['kmbl'],
    description: 'A bucket or a share where copies of archives are kept. Deleting it deletes no data.',
    spec: KmBackupLocationSpec,
    status: KmBackupLocationStatus,
    columns: [
      { name: 'URL', type: 'string', jsonPath: '.status.url' },
      { name: 'Available', type: 'string', jsonPath: '.status.conditions[?(@.type=="Available")].status' },
      { name: 'Reason', type: 'string', jsonPath: '.status.conditions[?(@.type=="Available")].reason' },
      { name: 'Last Copy', type: 'date', jsonPath: '.status.lastCopyTime' },
      { name: 'Copies', type: 'integer', jsonPath: '.status.usage.archives' },
      { name: 'Bytes', type: 'integer', jsonPath: '.status.usage.bytes' },
      {
        name: 'Message',
        type: 'string',
        jsonPath: '.status.conditions[?(@.type=="Available")].message',
        priority: 1,
      },
      age,
    ],
  },
];

type JsonSchema = Record<string, unknown>;

/**
 * Makes zod's JSON Schema structural: no `additionalProperties: false`, no `$schema`, fields with a
 * default not required (the API server fills them in), 64-bit integers marked as such.
 */
function structural(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(structural);
  if (node === null || typeof node !== 'object') return node;
  const { $schema: _, additionalProperties, propertyNames: __, ...rest } = node as JsonSchema;
  const result: JsonSchema = {};
  for (const [key, value] of Object.entries(rest)) {
    if (key === 'properties') {
      const properties = value as Record<string, JsonSchema>;
      result[key] = Object.fromEntries(
        Object.entries(properties).map(([name, child]) => [name, structural(child)]),
      );
    } else if (key === 'required') {
      const properties = (rest['properties'] ?? {}) as Record<string, JsonSchema>;
      const required = (value as string[]).filter((name) => !('default' in (properties[name] ?? {})));
      if (required.length > 0) result[key] = required;
    } else if (key === 'default' || key === 'enum' || key.startsWith('x-kubernetes-')) {
      result[key] = value;
    } else {
      result[key] = structural(value);
    }
  }
  if (result['x-kubernetes-int-or-string'] === true) {
    // The one form that a structural schema allows.
    result['anyOf'] = [{ type: 'integer' }, { type: 'string' }];
    return result;
  }
  if (result['type'] === 'integer') {
    result['format'] = 'int64';
    if (result['maximum'] === Number.MAX_SAFE_INTEGER) delete result['maximum'];
    if (result['minimum'] === Number.MIN_SAFE_INTEGER) delete result['minimum'];
  }
  const open = result['x-kubernetes-preserve-unknown-fields'] === true;
  if (!open && typeof additionalProperties === 'object') {
    result['additionalProperties'] = structural(additionalProperties);
  }
  return result;
}

function schemaOf(type: z.ZodType): JsonSchema {
  return structural(z.toJSONSchema(type, { target: 'openapi-3.0', io: 'input' })) as JsonSchema;
}

/** The CustomResourceDefinition of one resource, ready to serialise. */
export function customResourceDefinition(resource: ResourceDefinition) {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${resource.plural}.${GROUP}` },
    spec: {
      group: GROUP,
      scope: 'Namespaced',
      names: {
        kind: resource.kind,
        listKind: `${resource.kind}List`,
        singular: resource.singular,
        plural: resource.plural,
        shortNames: resource.shortNames,
        categories: ['km'],
      },
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          subresources: { status: {} },
          ...(resource.selectableFields && {
            selectableFields: resource.selectableFields.map((jsonPath) => ({ jsonPath })),
          }),
          additionalPrinterColumns: resource.columns,
          schema: {
            openAPIV3Schema: {
              description: resource.description,
              type: 'object',
              required: ['spec'],
              properties: {
                apiVersion: { type: 'string' },
                kind: { type: 'string' },
                metadata: { type: 'object' },
                spec: schemaOf(resource.spec),
                status: schemaOf(resource.status),
              },
            },
          },
        },
      ],
    },
  };
}
