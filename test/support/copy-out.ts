import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type { Kubectl } from './kubectl.ts';

/** Copies a file's bytes out of a pod. */
export async function copyOut(kubectl: Kubectl, pod: string, path: string, target: string): Promise<void> {
  const child = spawn(kubectl.program, kubectl.arguments(['exec', pod, '--', 'cat', path]), {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  await pipeline(child.stdout, createWriteStream(target));
  const code = await ended;
  if (code !== 0) throw new Error(`kubectl exec ${pod} -- cat ${path} ended with ${code}`);
}
