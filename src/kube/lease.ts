import { type Clock, sleep, systemClock } from '../clock/index.ts';
import type { KubeClient } from './client.ts';
import { isAlreadyExists, isConflict, isNotFound } from './errors.ts';
import type { KubeObject } from './object.ts';
import type { KubeLogger } from './reflector.ts';
import { resource } from './resources.ts';

interface Lease extends KubeObject {
  spec?: {
    holderIdentity?: string | null;
    leaseDurationSeconds?: number;
    acquireTime?: string;
    renewTime?: string;
    leaseTransitions?: number;
  };
}

export interface LeaderElectionOptions {
  client: KubeClient;
  namespace: string;
  name: string;
  /** Unique to this process. */
  identity: string;
  /** Others may take a Lease that was not renewed for this long; seconds. */
  leaseDurationSeconds: number;
  /** A leader that could not renew for this long stops leading; seconds, less than the lease duration. */
  renewDeadlineSeconds: number;
  /** Pause between attempts; seconds. */
  retryPeriodSeconds: number;
  logger: KubeLogger;
  clock?: Clock;
  random?: () => number;
}

/** This process no longer leads, or cannot be sure that it does. */
export class LeadershipLostError extends Error {
  override name = 'LeadershipLostError';
}

/** `metav1.MicroTime`. */
const microTime = (ms: number) => new Date(ms).toISOString().replace('Z', '000Z');

/**
 * Leader election on a Lease, as in client-go: the holder renews it, and another process takes it once it was not
 * renewed for its duration. Each measures this on its own monotonic clock, so the clocks of nodes need not agree.
 */
export class LeaderElector {
  readonly #options: LeaderElectionOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #leases;
  /** The Lease as last read, and when this version was first seen; monotonic milliseconds. */
  #observed: { lease: Lease; at: number } | undefined;
  #renewedAt: number | undefined;

  constructor(options: LeaderElectionOptions) {
    const { leaseDurationSeconds, renewDeadlineSeconds, retryPeriodSeconds } = options;
    if (!(leaseDurationSeconds > renewDeadlineSeconds && renewDeadlineSeconds > retryPeriodSeconds)) {
      throw new RangeError(
        'the lease duration must be longer than the renew deadline, and that longer than the retry period',
      );
    }
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#leases = resource<Lease>(options.client, {
      group: 'coordination.k8s.io',
      version: 'v1',
      plural: 'leases',
      kind: 'Lease',
      namespaced: true,
    });
  }

  /** Whether the last renewal is within the renew deadline. A process that was frozen for longer does not lead. */
  get leading(): boolean {
    return (
      this.#renewedAt !== undefined &&
      this.#clock.monotonic() - this.#renewedAt < this.#options.renewDeadlineSeconds * 1000
    );
  }

  /** Milliseconds until the renew deadline. */
  #leftMs(): number {
    const { renewDeadlineSeconds } = this.#options;
    return (this.#renewedAt ?? 0) + renewDeadlineSeconds * 1000 - this.#clock.monotonic();
  }

  /** @throws {LeadershipLostError} when this process may no longer write. */
  assertLeading(): void {
    if (!this.leading)
      throw new LeadershipLostError(
        `${this.#options.identity} no longer holds Lease ${this.#options.namespace}/${this.#options.name}`,
      );
  }

  /** Resolves when this process leads, or when the signal aborts. */
  async acquire(signal: AbortSignal): Promise<void> {
    const { identity, retryPeriodSeconds, logger } = this.#options;
    while (!signal.aborted) {
      if (await this.#tryOnce()) {
        logger.info({ identity }, 'leading');
        return;
      }
      const pauseMs = retryPeriodSeconds * 1000 * (1 + 0.2 * this.#random());
      await sleep(this.#clock, Math.min(pauseMs, this.#freeInMs() ?? pauseMs), signal);
    }
  }

  /** Milliseconds until another holder's Lease expires unless it is renewed; undefined if it has expired. */
  #freeInMs(): number | undefined {
    if (!this.#observed) return undefined;
    const { lease, at } = this.#observed;
    const durationMs = (lease.spec?.leaseDurationSeconds ?? this.#options.leaseDurationSeconds) * 1000;
    const leftMs = at + durationMs - this.#clock.monotonic();
    return leftMs >= 0 ? leftMs + 1 : undefined;
  }

  /**
   * Renews until the signal aborts, then gives the Lease up.
   * @throws {LeadershipLostError} when the Lease is lost or could not be renewed in time. The process must exit.
   */
  async hold(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await sleep(this.#clock, this.#options.retryPeriodSeconds * 1000, signal);
      if (signal.aborted) break;
      this.assertLeading();
      // A request that hangs must not keep this process from noticing that it no longer leads.
      const decided = new AbortController();
      let renewed = false;
      const attempt = this.#tryOnce().then((success) => {
        renewed = success;
        decided.abort();
      });
      await Promise.race([attempt, sleep(this.#clock, this.#leftMs(), decided.signal)]);
      if (!renewed && this.#observed?.lease.spec?.holderIdentity !== this.#options.identity)
        this.#renewedAt = undefined;
      this.assertLeading();
    }
    await this.#release();
  }

  async #tryOnce(): Promise<boolean> {
    const { namespace, name, identity, leaseDurationSeconds, logger } = this.#options;
    // The renewal counts from before the request: the answer may arrive much later.
    const askedAt = this.#clock.monotonic();
    try {
      const lease = await this.#read();
      if (!lease) {
        const fresh = this.#lease({ acquireTime: this.#now(), leaseTransitions: 0 });
        const created = await this.#leases.create(namespace, fresh);
        this.#observed = { lease: created, at: this.#clock.monotonic() };
        this.#renewedAt = askedAt;
        return true;
      }
      const known = this.#observed;
      if (known?.lease.metadata.resourceVersion !== lease.metadata.resourceVersion)
        this.#observed = { lease, at: this.#clock.monotonic() };
      const holder = lease.spec?.holderIdentity;
      const mine = holder === identity;
      const durationMs = (lease.spec?.leaseDurationSeconds ?? leaseDurationSeconds) * 1000;
      const expired =
        !holder || (this.#observed !== undefined && this.#clock.monotonic() - this.#observed.at > durationMs);
      if (!mine && !expired) return false;
      const transitions = lease.spec?.leaseTransitions ?? 0;
      const next = this.#lease(
        mine
          ? { acquireTime: lease.spec?.acquireTime ?? this.#now(), leaseTransitions: transitions }
          : { acquireTime: this.#now(), leaseTransitions: transitions + 1 },
      );
      const written = await this.#leases.replace(namespace, name, {
        ...next,
        metadata: { ...next.metadata, resourceVersion: lease.metadata.resourceVersion },
      });
      this.#observed = { lease: written, at: this.#clock.monotonic() };
      this.#renewedAt = askedAt;
      return true;
    } catch (error) {
      if (!isConflict(error) && !isAlreadyExists(error))
        logger.warn({ error: String(error) }, 'the Lease could not be read or written');
      return false;
    }
  }

  async #read(): Promise<Lease | undefined> {
    try {
      return await this.#leases.get(this.#options.namespace, this.#options.name);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  #now(): string {
    return microTime(this.#clock.now());
  }

  #lease(times: { acquireTime: string; leaseTransitions: number }) {
    const { namespace, name, identity, leaseDurationSeconds } = this.#options;
    return {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { namespace, name },
      spec: { holderIdentity: identity, leaseDurationSeconds, renewTime: this.#now(), ...times },
    };
  }

  /** Gives up the Lease, so that a standby can take over at once. */
  async #release(): Promise<void> {
    if (!this.leading) return;
    this.#renewedAt = undefined;
    try {
      const lease = await this.#read();
      if (lease?.spec?.holderIdentity !== this.#options.identity) return;
      await this.#leases.replace(this.#options.namespace, this.#options.name, {
        ...lease,
        spec: { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1 },
      });
    } catch (error) {
      this.#options.logger.warn(
        { error: String(error) },
        'the Lease could not be released; the next leader waits for it to expire',
      );
    }
  }
}
