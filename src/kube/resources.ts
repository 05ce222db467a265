import type { ApiRequest, KubeClient } from './client.ts';

/** What every object has. Times are RFC 3339 strings, as on the wire. */
export interface KubeObject {
  metadata: {
    name: string;
    namespace?: string;
    uid: string;
    resourceVersion: string;
    creationTimestamp: string;
    deletionTimestamp?: string;
    labels?: Record<string, string>;
    ownerReferences?: { kind: string; name: string; uid: string; controller?: boolean }[];
  };
}

export interface ResourceDescriptor {
  group: string;
  version: string;
  plural: string;
  kind: string;
  namespaced: boolean;
}

export interface ListOptions {
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  /** `0` reads from the API server's cache. */
  resourceVersion?: string | undefined;
  /** Objects a page. */
  pageSize?: number | undefined;
  signal?: AbortSignal | undefined;
}

export interface List<T> {
  items: T[];
  resourceVersion: string;
}

export interface WatchOptions extends Pick<ListOptions, 'labelSelector' | 'fieldSelector' | 'signal'> {
  resourceVersion: string;
  timeoutSeconds: number;
}

export interface DeleteOptions {
  /** Deletes only the object with this UID. */
  uid?: string;
  propagationPolicy?: 'Background' | 'Foreground' | 'Orphan';
}

export interface ApplyOptions {
  fieldManager: string;
  force?: boolean;
}

interface RawList<T> {
  metadata?: { resourceVersion?: string; continue?: string };
  items?: T[] | null;
}

/** The typed operations of one kind; every one throws KubeError. */
export interface ResourceClient<T extends KubeObject> {
  readonly descriptor: ResourceDescriptor;
  get(namespace: string | undefined, name: string): Promise<T>;
  /** All pages at once. */
  list(namespace: string | undefined, options?: ListOptions): Promise<List<T>>;
  /** Page by page, so that a long list need not fit into memory. All pages have the same resource version. */
  pages(namespace: string | undefined, options?: ListOptions): AsyncGenerator<List<T>, void>;
  /** Lines of the watch, each one JSON event. */
  watch(namespace: string | undefined, options: WatchOptions): Promise<AsyncIterable<Uint8Array>>;
  create(namespace: string | undefined, object: object): Promise<T>;
  replace(namespace: string | undefined, name: string, object: object): Promise<T>;
  delete(namespace: string | undefined, name: string, options?: DeleteOptions): Promise<void>;
  /** Server-side apply. */
  apply(namespace: string | undefined, name: string, object: object, options: ApplyOptions): Promise<T>;
  applyStatus(namespace: string | undefined, name: string, object: object, options: ApplyOptions): Promise<T>;
  /** Puts the whole status in place; with a `resourceVersion` only over that version. Half the cost of an apply. */
  replaceStatus(
    namespace: string | undefined,
    name: string,
    object: object,
    fieldManager: string,
  ): Promise<T>;
  mergePatch(namespace: string | undefined, name: string, patch: object, subresource?: 'status'): Promise<T>;
}

export function resource<T extends KubeObject>(
  client: KubeClient,
  descriptor: ResourceDescriptor,
): ResourceClient<T> {
  const { group, version, plural, namespaced } = descriptor;
  const root = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
  const collection = (namespace: string | undefined) =>
    namespaced && namespace !== undefined
      ? `${root}/namespaces/${encodeURIComponent(namespace)}/${plural}`
      : `${root}/${plural}`;
  const path = (namespace: string | undefined, name: string) =>
    `${collection(namespace)}/${encodeURIComponent(name)}`;
  const send = <R>(request: ApiRequest) => client.request<R>(request);
  const apply = (target: string, object: object, { fieldManager, force }: ApplyOptions) =>
    send<T>({
      method: 'PATCH',
      path: target,
      query: { fieldManager, force },
      body: object,
      contentType: 'application/apply-patch+yaml',
    });

  async function* pages(
    namespace: string | undefined,
    { labelSelector, fieldSelector, resourceVersion, pageSize, signal }: ListOptions = {},
  ): AsyncGenerator<List<T>, void> {
    let next: string | undefined;
    do {
      const page: RawList<T> = await send<RawList<T>>({
        method: 'GET',
        path: collection(namespace),
        query: {
          labelSelector,
          fieldSelector,
          limit: pageSize,
          continue: next,
          ...(next === undefined &&
            resourceVersion !== undefined && { resourceVersion, resourceVersionMatch: 'NotOlderThan' }),
        },
        signal,
      });
      yield { items: page.items ?? [], resourceVersion: page.metadata?.resourceVersion ?? '' };
      next = page.metadata?.continue;
    } while (next);
  }

  return {
    descriptor,
    get: (namespace, name) => send<T>({ method: 'GET', path: path(namespace, name) }),

    pages,
    async list(namespace, options) {
      const items: T[] = [];
      let resourceVersion = '';
      for await (const page of pages(namespace, options)) {
        for (const item of page.items) items.push(item);
        resourceVersion = page.resourceVersion;
      }
      return { items, resourceVersion };
    },

    watch: (namespace, { labelSelector, fieldSelector, resourceVersion, timeoutSeconds, signal }) =>
      client.stream({
        method: 'GET',
        path: collection(namespace),
        query: {
          watch: true,
          allowWatchBookmarks: true,
          labelSelector,
          fieldSelector,
          resourceVersion,
          timeoutSeconds,
        },
        signal,
      }),

    create: (namespace, object) => send<T>({ method: 'POST', path: collection(namespace), body: object }),
    replace: (namespace, name, object) =>
      send<T>({ method: 'PUT', path: path(namespace, name), body: object }),

    async delete(namespace, name, { uid, propagationPolicy } = {}) {
      const body = {
        apiVersion: 'v1',
        kind: 'DeleteOptions',
        ...(uid && { preconditions: { uid } }),
        ...(propagationPolicy && { propagationPolicy }),
      };
      await send({ method: 'DELETE', path: path(namespace, name), body });
    },

    apply: (namespace, name, object, options) => apply(path(namespace, name), object, options),
    applyStatus: (namespace, name, object, options) =>
      apply(`${path(namespace, name)}/status`, object, options),
    replaceStatus: (namespace, name, object, fieldManager) =>
      send<T>({
        method: 'PUT',
        path: `${path(namespace, name)}/status`,
        query: { fieldManager },
        body: object,
      }),
    mergePatch: (namespace, name, patch, subresource) =>
      send<T>({
        method: 'PATCH',
        path: subresource ? `${path(namespace, name)}/${subresource}` : path(namespace, name),
        body: patch,
        contentType: 'application/merge-patch+json',
      }),
  };
}
