import type { ApiRequest, KubeClient, ReadBody } from './client.ts';
import { ListScanner } from './list-scanner.ts';
import { type KubeObject, keyOf } from './object.ts';

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
  /** Objects a page; undefined: all at once. */
  pageSize?: number | undefined;
  /** Attempts of each request; overrides the client's number. */
  attempts?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** `resourceVersion` 0 reads from the API server's cache, which may be behind. */
export type GetOptions = Pick<ListOptions, 'resourceVersion'>;

export interface List<T> {
  items: T[];
  resourceVersion: string;
}

export interface WatchOptions extends Pick<ListOptions, 'labelSelector' | 'fieldSelector' | 'signal'> {
  resourceVersion: string;
  timeoutSeconds: number;
}

export interface DeleteOptions {
  /** Deletes the object only if it has this UID and version; otherwise the API server answers 409. */
  preconditions?: { uid?: string; resourceVersion?: string };
  propagationPolicy?: 'Background' | 'Foreground' | 'Orphan';
  gracePeriodSeconds?: number;
}

interface Envelope {
  metadata?: { resourceVersion?: string; continue?: string };
}

/** The operations on one kind of object. Each throws KubeError when its request fails. */
export interface ResourceClient<T extends KubeObject> {
  readonly descriptor: ResourceDescriptor;
  get(namespace: string | undefined, name: string, options?: GetOptions): Promise<T>;
  /** All pages at once. */
  list(namespace: string | undefined, options?: ListOptions): Promise<List<T>>;
  /**
   * Lists without keeping the list in memory: passes on each object as it arrives. If the connection breaks, the
   * request is repeated, and objects come again.
   * @returns The resource version of the list.
   */
  visit(namespace: string | undefined, options: ListOptions, onObject: (object: T) => void): Promise<string>;
  /** Opens a watch. Its bytes are lines with one JSON event each. */
  watch(namespace: string | undefined, options: WatchOptions): Promise<AsyncIterable<Uint8Array>>;
  create(namespace: string | undefined, object: object): Promise<T>;
  replace(namespace: string | undefined, name: string, object: object): Promise<T>;
  delete(namespace: string | undefined, name: string, options?: DeleteOptions): Promise<void>;
  /** Replaces the whole status. If `object` has a `resourceVersion`, only that version is replaced. */
  replaceStatus(
    namespace: string | undefined,
    name: string,
    object: object,
    fieldManager: string,
  ): Promise<T>;
  mergePatch(
    namespace: string | undefined,
    name: string,
    patch: object,
    subresource?: 'status' | 'scale',
  ): Promise<T>;
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

  /** Asks for one page after the other. */
  async function pages(
    namespace: string | undefined,
    { labelSelector, fieldSelector, resourceVersion, pageSize, attempts, signal }: ListOptions,
    read: ReadBody<Envelope>,
  ): Promise<string> {
    for (let next: string | undefined; ; ) {
      const query = {
        labelSelector,
        fieldSelector,
        limit: pageSize,
        continue: next,
        ...(next === undefined &&
          resourceVersion !== undefined && { resourceVersion, resourceVersionMatch: 'NotOlderThan' }),
      };
      const page = { method: 'GET', path: collection(namespace), query, attempts, signal } as const;
      const { metadata } = await client.request(page, read);
      next = metadata?.continue;
      if (!next) return metadata?.resourceVersion ?? '';
    }
  }

  return {
    descriptor,
    get: (namespace, name, { resourceVersion } = {}) =>
      send<T>({ method: 'GET', path: path(namespace, name), query: { resourceVersion } }),

    visit: (namespace, options, onObject) =>
      pages(namespace, options, async (body) => {
        const scanner = new ListScanner((text) => onObject(JSON.parse(text) as T));
        for await (const chunk of body) scanner.write(chunk);
        return scanner.end() as Envelope;
      }),
    async list(namespace, options = {}) {
      const items = new Map<string, T>();
      const resourceVersion = await pages(namespace, options, async (body) => {
        const chunks: Uint8Array[] = [];
        for await (const chunk of body) chunks.push(chunk);
        const page = JSON.parse(Buffer.concat(chunks).toString('utf8')) as Envelope & { items?: T[] | null };
        for (const item of page.items ?? []) items.set(keyOf(item), item);
        return page;
      });
      return { items: [...items.values()], resourceVersion };
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

    async delete(namespace, name, options = {}) {
      const body = { apiVersion: 'v1', kind: 'DeleteOptions', ...options };
      await send({ method: 'DELETE', path: path(namespace, name), body });
    },

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
