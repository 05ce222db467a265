import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Cluster } from './cluster.ts';
import type { ExtraArgs } from './components.ts';
import { kindDown, kindOpen, kindUp } from './kind.ts';
import { cacheRoot, type Flavour, stateRoot } from './layout.ts';
import { type LocalOptions, localDown, localOpen, localUp } from './local.ts';
import { succeeds } from './process.ts';
import { type Log, silent } from './progress.ts';

export type { Cluster, ComponentStatus } from './cluster.ts';
export type { Component, ExtraArgs } from './components.ts';
export type { Flavour } from './layout.ts';
export { BUSYBOX_IMAGE } from './oci.ts';
export { elapsedLog, type Log } from './progress.ts';
export { STORAGE_CLASS } from './storage.ts';

export interface ClusterOptions {
  /** Default `km`. Clusters of different names live side by side. */
  readonly name?: string;
  /** Default `full`. */
  readonly flavour?: Flavour;
  readonly log?: Log;
  /** More command line arguments for daemons; they win over the tool's own. */
  readonly extraArgs?: ExtraArgs;
  /** Default: $KM_CACHE_DIR, else km-backup-operator in the user's cache folder. */
  readonly cacheDir?: string;
  /** Default: km-backup-operator/clusters in the user's state folder. */
  readonly stateRoot?: string;
}

/** Where binaries and images are kept between runs, unless an option says otherwise. */
export const defaultCacheDir = () => cacheRoot(process.env, homedir());

function complete(options: ClusterOptions): LocalOptions {
  return {
    name: options.name ?? 'km',
    flavour: options.flavour ?? 'full',
    log: options.log ?? silent,
    cacheDir: options.cacheDir ?? defaultCacheDir(),
    stateRoot: options.stateRoot ?? stateRoot(process.env, homedir()),
    ...(options.extraArgs === undefined ? {} : { extraArgs: options.extraArgs }),
  };
}

/** Whether a Docker daemon answers. */
export const dockerAnswers = () => succeeds('docker', ['info']);

/** What this machine lacks to run a cluster without Docker; empty if nothing. */
async function lacking(flavour: Flavour): Promise<string[]> {
  const missing: string[] = [];
  if (process.platform !== 'linux') missing.push(`Linux (this is ${process.platform})`);
  if (!(await succeeds('go', ['version']))) missing.push('Go 1.25 or later (https://go.dev/dl)');
  if (flavour === 'full' && process.getuid?.() !== 0) missing.push('root');
  return missing;
}

/** Brings a cluster up, or returns the one that already runs under that name. */
export async function clusterUp(options: ClusterOptions = {}): Promise<Cluster> {
  const all = complete(options);
  if (await dockerAnswers()) return kindUp(all);
  const missing = await lacking(all.flavour);
  if (missing.length > 0) {
    throw new Error(
      `cannot run a cluster here: no Docker daemon answers, and to do without it this is missing: ${missing.join('; ')}. Start Docker, or provide what is missing.`,
    );
  }
  return localUp(all);
}

/** The cluster of that name as it is, or undefined. */
export async function clusterOpen(options: ClusterOptions = {}): Promise<Cluster | undefined> {
  const all = complete(options);
  return (await localOpen(all)) ?? ((await dockerAnswers()) ? kindOpen(all) : undefined);
}

/** Ends the cluster of that name and removes everything it left. Does nothing if there is none. */
export async function clusterDown(options: ClusterOptions = {}): Promise<void> {
  const all = complete(options);
  if (await dockerAnswers()) await kindDown(all);
  if (process.platform === 'linux') await localDown(all);
}

/** The state folder of a cluster (logs below logs/). */
export const stateDirOf = (options: ClusterOptions = {}) => {
  const all = complete(options);
  return join(all.stateRoot, all.name);
};
