import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';

const main = join(import.meta.dirname, 'operator-main.ts');

export interface OperatorProcess {
  kubeconfig: string;
  /** The namespace that it serves and that holds its Lease. */
  namespace: string;
  /** How far its clock is ahead of the system's. */
  offsetMs: number;
  /** Absent: no leader election. */
  podName?: string;
  options?: readonly string[];
}

/** An operator in a separate process, which tests can kill and freeze. It shares this process's standard error. */
export function spawnOperator(operator: OperatorProcess): ChildProcess {
  const { kubeconfig, namespace, offsetMs, podName, options = [] } = operator;
  const all = [
    `--kubeconfig=${kubeconfig}`,
    `--namespaces=${namespace}`,
    '--image=km-backup:test',
    '--http-port=0',
    '--http-host=127.0.0.1',
    ...(podName === undefined ? ['--no-leader-elect'] : []),
    '--log-level=error',
    ...options,
  ];
  return spawn(process.execPath, [main, String(Math.round(offsetMs)), ...all], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: {
      ...process.env,
      POD_NAMESPACE: namespace,
      ...(podName !== undefined && { POD_NAME: podName }),
    },
  });
}
