/** The metadata that every object has. Times are RFC 3339 strings. */
export interface KubeObject {
  metadata: {
    name: string;
    namespace?: string;
    uid: string;
    resourceVersion: string;
    creationTimestamp: string;
    deletionTimestamp?: string;
    labels?: Record<string, string>;
    ownerReferences?: OwnerReference[];
  };
}

interface OwnerReference {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean;
}

type Metadata = KubeObject['metadata'];

/** `namespace/name`, or only the name of an object without a namespace. */
export function keyOf(object: { metadata: Pick<Metadata, 'namespace' | 'name'> }): string {
  const { namespace, name } = object.metadata;
  return namespace === undefined ? name : `${namespace}/${name}`;
}

/** The object that controls this one. */
export function controllerOf<O extends { readonly controller?: boolean | undefined }>(object: {
  readonly metadata: { readonly ownerReferences?: readonly O[] | undefined };
}): O | undefined {
  return object.metadata.ownerReferences?.find((owner) => owner.controller);
}

const NUMBER = /^\d+$/;

/** Whether `version` is older than `than`. False if they are not numbers. */
export function isOlder(version: string, than: string): boolean {
  if (!NUMBER.test(version) || !NUMBER.test(than)) return false;
  return version.length === than.length ? version < than : version.length < than.length;
}
