import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** How many CPUs this process may use: its CPU affinity, limited by the container's quota (cgroup v2 or v1). */
export function allowedThreads(): number {
  const quota = cgroupQuota();
  const cpus = availableParallelism();
  return Math.max(1, quota === undefined ? cpus : Math.min(cpus, Math.ceil(quota)));
}

function cgroupQuota(): number | undefined {
  const v2 = words('/sys/fs/cgroup/cpu.max');
  if (v2) return ratio(v2[0], v2[1]);
  const quota = words('/sys/fs/cgroup/cpu/cpu.cfs_quota_us');
  const period = words('/sys/fs/cgroup/cpu/cpu.cfs_period_us');
  return ratio(quota?.[0], period?.[0]);
}

function ratio(quota: string | undefined, period: string | undefined): number | undefined {
  const value = Number(quota) / Number(period);
  return Number.isFinite(value) && value > 0 ? value : undefined;
}

function words(path: string): string[] | undefined {
  try {
    return readFileSync(path, 'utf8').trim().split(/\s+/);
  } catch {
    return undefined;
  }
}
