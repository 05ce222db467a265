import { z } from 'zod';
import { PodTemplate } from './backup-schedule.ts';
import { Duration } from './duration.ts';
import type { ObjectMeta } from './metadata.ts';
import { Conditions, RelativePath, ResourceName, rules, Time } from './schema.ts';

/** Keys of the Secret in `spec.s3.credentialsSecretRef`, named as the variables of every AWS tool. */
export const CREDENTIAL_KEYS = ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN'] as const;

/** Key of the Secret in `spec.source.location.identitySecretRef` of a KmRestore. */
export const IDENTITY_KEY = 'identity';

const S3 = z
  .object({
    bucket: z
      .string()
      .min(3)
      .max(63)
      .meta(
        rules({
          rule: "self.matches('^[a-z0-9][a-z0-9.-]*[a-z0-9]$')",
          message: 'must be the name of a bucket: lower-case letters, digits, "-" and "."',
        }),
      ),
    prefix: z
      .string()
      .min(1)
      .max(512)
      .optional()
      .meta(
        rules({
          rule: "self.matches('^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$') && !self.split('/').exists(part, part == '.' || part == '..')",
          message:
            'must be parts of letters, digits, ".", "_" and "-", with "/" between them, as in "clusters/a"',
        }),
      )
      .describe('Begin of the names of all objects. Give each cluster its own. Default: the whole bucket.'),
    endpoint: z
      .string()
      .max(512)
      .optional()
      .meta(
        rules({
          rule: "self.matches('^https?://[^/?#@\\\\s]+/?$')",
          message:
            'must be the address of the server, as in "https://s3.example.com": without credentials, path or bucket',
        }),
      )
      .describe('Address of the server. Default: AWS, by region.'),
    region: z
      .string()
      .max(64)
      .optional()
      .meta(
        rules({ rule: "self.matches('^[A-Za-z0-9-]+$')", message: 'must be a region, as in "eu-central-1"' }),
      )
      .describe('Default: us-east-1, which most servers other than AWS take.'),
    forcePathStyle: z
      .boolean()
      .default(false)
      .describe('Address the bucket in the path, as most servers other than AWS need it.'),
    credentialsSecretRef: z
      .object({ name: ResourceName })
      .optional()
      .describe(
        `Secret with the keys ${CREDENTIAL_KEYS.slice(0, 2).join(', ')} and, for temporary credentials, ${CREDENTIAL_KEYS[2]}. Only Jobs that copy, check or restore see it; the operator cannot read it. Default: what the cluster gives to pods of the service account \`default\` (IRSA, EKS Pod Identity).`,
      ),
    caBundle: z
      .object({
        configMapKeyRef: z.object({
          name: ResourceName,
          key: z
            .string()
            .max(253)
            .regex(/^[-._a-zA-Z0-9]+$/)
            .default('ca.crt'),
        }),
      })
      .optional()
      .describe("Certificates of the authorities that sign the server's certificate, in PEM."),
  })
  .describe('A bucket of any server that speaks S3.');

const Directory = z
  .object({
    persistentVolumeClaim: z.object({
      claimName: ResourceName.describe('PersistentVolumeClaim in the namespace of the location.'),
    }),
    path: RelativePath.default('km-backup').describe('Folder of the location inside the claim.'),
  })
  .describe('A folder of a claim, such as an NFS share. A claim on the cluster protects less than a bucket.');

const Recipient = z
  .string()
  .max(4096)
  .meta(
    rules({
      rule: "self.matches('^age1[a-z0-9]{58,}$')",
      message:
        'must be a public key of age, "age1…" (km-backup location keygen makes one); never an identity, AGE-SECRET-KEY-1…',
    }),
  );

const Encryption = z
  .object({
    age: z
      .object({
        recipients: z
          .array(Recipient)
          .min(1)
          .max(20)
          .describe('Public keys. Whoever holds the identity of one of them reads the copies.'),
      })
      .optional(),
    none: z
      .boolean()
      .optional()
      .describe('true: copies are stored unencrypted, readable by whoever reads the bucket.'),
  })
  .meta(
    rules({
      rule: 'has(self.age) != (has(self.none) && self.none)',
      message: 'must have age.recipients, or none: true to store copies unencrypted',
    }),
  )
  .describe('How copies are encrypted. The cluster needs no private key.');

export const KmBackupLocationSpec = z
  .object({
    s3: S3.optional(),
    directory: Directory.optional(),
    encryption: Encryption,
    objectLock: z
      .object({
        mode: z
          .enum(['GOVERNANCE', 'COMPLIANCE'])
          .default('GOVERNANCE')
          .describe('COMPLIANCE cannot be undone by anyone before the days are over.'),
        days: z
          .int()
          .min(1)
          .max(36_500)
          .describe('How long stored objects are locked. Choose fewer days than retention keeps copies.'),
      })
      .optional()
      .describe('Locks what copies store. The bucket must have been made with object lock.'),
    bandwidthLimit: z
      .string()
      .max(16)
      .optional()
      .meta(
        rules({
          rule: "self.matches('^[1-9][0-9]{0,9}(Ki|Mi|Gi)?$')",
          message: 'must be bytes a second: "512Ki", "10Mi"',
        }),
      )
      .describe('Bytes a second of each Job, such as 10Mi. Default: no limit.'),
    expectedId: z
      .string()
      .min(1)
      .max(64)
      .optional()
      .describe(
        'Id that the location must have (`status.locationId`). Default: the one that was found first. Set it to accept that another location is at this address now.',
      ),
    checkInterval: Duration.default('1h')
      .meta(
        rules({
          rule: "!self.endsWith('s') && self != '0' && !self.startsWith('0')",
          message: 'must be at least 1m',
        }),
      )
      .describe('How often a Job tries to write, read, list and delete there.'),
    podTemplate: PodTemplate.optional().describe(
      'As in a schedule, for the Jobs that check the location. Jobs that copy take that of the schedule. Default user: 65532.',
    ),
  })
  .meta(
    rules(
      {
        rule: 'has(self.s3) != has(self.directory)',
        message: 'must have exactly one of s3, directory',
      },
      {
        rule: '!has(self.objectLock) || has(self.s3)',
        message: 'objectLock needs s3: a directory cannot lock files',
        fieldPath: '.objectLock',
      },
    ),
  );
export type KmBackupLocationSpec = z.output<typeof KmBackupLocationSpec>;

export const KmBackupLocationStatus = z.object({
  observedGeneration: z.int().optional(),
  conditions: Conditions.optional(),
  url: z.string().optional().describe('Address of the location, without credentials.'),
  locationId: z
    .string()
    .optional()
    .describe('Id in the object `km-location.json`. Another location at the same address is refused.'),
  usage: z
    .object({
      archives: z.int().describe('Copies of all series.'),
      objects: z.int(),
      bytes: z.int().describe('Bytes of all objects.'),
    })
    .optional()
    .describe('What the last check found in the location.'),
  lastCheckTime: Time.optional().describe('When the last check ended.'),
  lastCopyTime: Time.optional().describe('When a schedule last confirmed a copy.'),
  failures: z.int().optional().describe('Checks that failed since the last one that succeeded.'),
  checks: z.int().optional().describe('Checks so far; the name of the Job of the next one follows from it.'),
  job: z
    .object({ name: z.string(), uid: z.string().optional() })
    .optional()
    .describe('The Job of the check that is going on.'),
});
export type KmBackupLocationStatus = z.infer<typeof KmBackupLocationStatus>;

export interface KmBackupLocation {
  apiVersion: string;
  kind: 'KmBackupLocation';
  metadata: ObjectMeta;
  spec: KmBackupLocationSpec;
  status?: KmBackupLocationStatus;
}

/** Address of a location, as `km-backup` takes it. @param mount where its claim is mounted */
export function locationUrl({ s3, directory }: KmBackupLocationSpec, mount: string): string {
  if (s3) return `s3://${s3.bucket}${s3.prefix === undefined ? '' : `/${s3.prefix}`}`;
  return `dir:${mount}/${directory!.path}`;
}
