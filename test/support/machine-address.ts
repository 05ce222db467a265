import os from 'node:os';
import type { Kubectl } from './kubectl.ts';

/**
 * The address at which the pods of a cluster on this machine reach the machine: that of its node, or the one in the
 * node's network (kind). `KM_TEST_HOST` overrides it.
 */
export async function machineAddress(kubectl: Kubectl): Promise<string> {
  const { KM_TEST_HOST: given } = process.env;
  if (given) return given;
  const [node] = await kubectl.list('nodes');
  const internal: string = node!.status.addresses.find(
    ({ type }: { type: string }) => type === 'InternalIP',
  ).address;
  const own = Object.values(os.networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ family }) => family === 'IPv4');
  const same = own.find(({ address }) => address === internal);
  const near = own.find(({ address, netmask }) => network(address, netmask) === network(internal, netmask));
  const found = same ?? near;
  if (found) return found.address;
  throw new Error(`no address of this machine is reachable from node ${internal}: set KM_TEST_HOST`);
}

function network(address: string, netmask: string): number {
  const number = (text: string) => text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  return (number(address) & number(netmask)) >>> 0;
}
