import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';

const main = join(import.meta.dirname, 'operator-main.ts');

export interface OperatorProcess {
  kubeconfig: string;
  /** The one it serves, in which its Lease is too. */
  namespace: string;
  /** What its clock is ahead of the system's. */
  offsetMs: number;
  /** Absent: it asks for no Lease. */
  podName?: string;
  options?: readonly string[];
}

/** An operator as a process of its own, to be killed and frozen; its errors go to this process's. */
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
