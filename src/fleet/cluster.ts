import type { Clock } from '../clock/index.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Resources } from '../operator/resources.ts';

/** A cluster, with the rights of whoever asks. */
export interface Cluster {
  readonly client: KubeClient;
  readonly resources: Resources;
  readonly clock: Clock;
}

/** An object of a namespace. */
export interface Place {
  readonly namespace: string;
  readonly name: string;
}

/** How to wait for something. */
export interface Waiting<T> {
  /** Ends the wait with an Interrupted error. */
  readonly signal?: AbortSignal | undefined;
  /** Called with each new state. */
  readonly onChange?: ((state: T) => void) | undefined;
}
