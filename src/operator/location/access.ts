/** What a Job needs to reach a KmBackupLocation: address, flags, credentials. Pure. */
import type { V1EnvVar, V1Volume, V1VolumeMount } from '@kubernetes/client-node';
import { CREDENTIAL_KEYS, type KmBackupLocation, locationUrl } from '../../api/location.ts';
import { LABELS } from '../../api/names.ts';
import { labelValue } from '../naming.ts';

const CA_MOUNT = '/location-ca';
const CA_FILE = 'ca.pem';
const WORK_MOUNT = '/work';

/** By name, because km-backup remembers a location by its address. */
const mountOf = ({ metadata }: KmBackupLocation) => `/locations/${metadata.name}`;

export interface LocationAccess {
  /** Address of the location, the argument of the command. */
  readonly url: string;
  /** Each as `--name=value`. */
  readonly flags: readonly string[];
  readonly env: readonly V1EnvVar[];
  readonly volumes: readonly V1Volume[];
  readonly mounts: readonly V1VolumeMount[];
  /** Of the pod, so that a NetworkPolicy can let it out. */
  readonly labels: Readonly<Record<string, string>>;
}

/**
 * Credentials are variables rather than files: if the Secret or its key is missing, the kubelet then says so by name in
 * the pod's status.
 * @param readOnly the Job only reads there
 */
export function accessTo(location: KmBackupLocation, readOnly: boolean): LocationAccess {
  const { metadata, spec } = location;
  const { s3, directory, bandwidthLimit } = spec;
  const mount = mountOf(location);
  const ca = s3?.caBundle?.configMapKeyRef;
  const secret = s3?.credentialsSecretRef?.name;
  return {
    url: locationUrl(spec, mount),
    flags: [
      ...(s3?.forcePathStyle ? ['--path-style'] : []),
      ...(ca ? [`--ca-bundle=${CA_MOUNT}/${CA_FILE}`] : []),
      ...(bandwidthLimit === undefined ? [] : [`--bandwidth-limit=${bandwidthLimit.replace('i', '')}`]),
    ],
    env: [
      // The root file system is read-only.
      { name: 'TMPDIR', value: WORK_MOUNT },
      ...(s3?.endpoint === undefined ? [] : [{ name: 'AWS_ENDPOINT_URL_S3', value: s3.endpoint }]),
      ...(s3?.region === undefined ? [] : [{ name: 'AWS_REGION', value: s3.region }]),
      ...(secret === undefined
        ? []
        : CREDENTIAL_KEYS.map((key, index) => ({
            name: key,
            // A session token comes with temporary credentials only.
            valueFrom: { secretKeyRef: { name: secret, key, ...(index === 2 && { optional: true }) } },
          }))),
    ],
    volumes: [
      { name: 'work', emptyDir: {} },
      ...(directory
        ? [
            {
              name: 'location',
              persistentVolumeClaim: {
                claimName: directory.persistentVolumeClaim.claimName,
                ...(readOnly && { readOnly }),
              },
            },
          ]
        : []),
      ...(ca
        ? [{ name: 'location-ca', configMap: { name: ca.name, items: [{ key: ca.key, path: CA_FILE }] } }]
        : []),
    ],
    mounts: [
      { name: 'work', mountPath: WORK_MOUNT },
      ...(directory ? [{ name: 'location', mountPath: mount, ...(readOnly && { readOnly }) }] : []),
      ...(ca ? [{ name: 'location-ca', mountPath: CA_MOUNT, readOnly: true }] : []),
    ],
    labels: { [LABELS.location]: labelValue(metadata.name) },
  };
}

/** The claim that a location lies on; undefined for a bucket. */
export const claimOfLocation = ({ spec }: KmBackupLocation): string | undefined =>
  spec.directory?.persistentVolumeClaim.claimName;

/** The address as people read it: without the mount point of a Job. */
export function displayUrl({ metadata, spec }: KmBackupLocation): string {
  const { directory } = spec;
  if (!directory) return locationUrl(spec, '');
  return `pvc:${directory.persistentVolumeClaim.claimName}/${directory.path} (${metadata.namespace})`;
}

/** Flags of a command that stores copies. */
export function storingFlags({ spec }: KmBackupLocation): string[] {
  const { encryption, objectLock } = spec;
  return [
    ...(encryption.age
      ? encryption.age.recipients.map((recipient) => `--recipient=${recipient}`)
      : ['--no-encryption']),
    ...(objectLock
      ? [`--retain-days=${objectLock.days}`, `--retain-mode=${objectLock.mode ?? 'GOVERNANCE'}`]
      : []),
  ];
}
