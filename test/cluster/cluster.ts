import type { Component } from './components.ts';
import type { Flavour } from './layout.ts';
import type { RunOptions, RunResult } from './process.ts';

export interface ComponentStatus {
  readonly component: string;
  readonly pid: number | undefined;
  readonly health: 'ok' | 'failing' | 'paused' | 'stopped';
}

/** A running cluster, whatever runs it. */
export interface Cluster {
  readonly name: string;
  readonly flavour: Flavour;
  readonly backend: 'local' | 'kind';
  readonly kubeconfigPath: string;
  /** Paths of the client programs. */
  readonly programs: { readonly kubectl: string; readonly helm: string };
  /** Rejects with stderr when the command fails. */
  kubectl(args: readonly string[], options?: RunOptions): Promise<RunResult>;
  helm(args: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Imports a docker-archive or OCI tarball. */
  loadImage(tarball: string): Promise<void>;
  /** SIGTERM, and waits for the end; SIGKILL after 30 s. */
  stop(component: Component): Promise<void>;
  /** SIGKILL, and waits for the end. */
  kill(component: Component): Promise<void>;
  /** Starts a stopped or killed component and waits until it is healthy. */
  start(component: Component): Promise<void>;
  /** SIGSTOP: connections stay open and nothing answers. */
  pause(component: Component): Promise<void>;
  /** SIGCONT. */
  resume(component: Component): Promise<void>;
  status(): Promise<readonly ComponentStatus[]>;
  /** Ends everything and deletes the state. */
  down(): Promise<void>;
}
