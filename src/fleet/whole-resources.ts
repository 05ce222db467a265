import { whole } from '../api/whole.ts';
import type { KubeObject } from '../kube/object.ts';
import type { ResourceClient } from '../kube/resources.ts';
import type { Resources } from '../operator/resources.ts';

/** The same, with our resources as their types say, whatever the CRDs of the cluster let through. */
export function wholeResources(resources: Resources): Resources {
  const { schedules, backups, restores, locations } = resources;
  return {
    ...resources,
    schedules: wholeClient(schedules),
    backups: wholeClient(backups),
    restores: wholeClient(restores),
    locations: wholeClient(locations),
  };
}

function wholeClient<T extends KubeObject>(client: ResourceClient<T>): ResourceClient<T> {
  const mended = (object: T) => whole(client.descriptor.kind, object);
  return {
    ...client,
    get: async (...call) => mended(await client.get(...call)),
    list: async (...call) => {
      const list = await client.list(...call);
      return { ...list, items: list.items.map(mended) };
    },
    visit: (namespace, options, onObject) =>
      client.visit(namespace, options, (object) => onObject(mended(object))),
    create: async (...call) => mended(await client.create(...call)),
    replace: async (...call) => mended(await client.replace(...call)),
    replaceStatus: async (...call) => mended(await client.replaceStatus(...call)),
    mergePatch: async (...call) => mended(await client.mergePatch(...call)),
  };
}
