/** The connection pools of undici. Loading all of undici takes three times the CPU time, and 15 MB. */

import type { Dispatcher } from 'undici';
// biome-ignore lint/style/noRestrictedImports: api/ is a folder of undici here
import request from 'undici/lib/api/api-request.js';
import Pools from 'undici/lib/dispatcher/agent.js';

export class Agent extends Pools {
  // undici's index.js gives every dispatcher this method.
  override request(options: Dispatcher.RequestOptions): Promise<Dispatcher.ResponseData> {
    return request.call(this, options) as Promise<Dispatcher.ResponseData>;
  }
}
