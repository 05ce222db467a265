import { resolve } from 'node:path';
import { Command } from 'commander';
import { buildImage } from './image.ts';
import { type Cluster, clusterDown, clusterOpen, clusterUp, elapsedLog, stateDirOf } from './index.ts';

interface Options {
  readonly name: string;
  readonly controlPlaneOnly?: boolean;
}

const log = elapsedLog(process.stderr);

async function open(name: string): Promise<Cluster> {
  const cluster = await clusterOpen({ name, log });
  if (cluster === undefined) {
    throw new Error(`there is no cluster "${name}": start it with "npm run cluster:up -- --name ${name}"`);
  }
  return cluster;
}

const program = new Command('cluster').description('A real Kubernetes cluster for development and tests.');
const command = (name: string, description: string) =>
  program.command(name).description(description).option('--name <name>', 'name of the cluster', 'km');

command('up', 'start a cluster, or find that it runs')
  .option('--control-plane-only', 'only etcd, API server and controllers: no node, no pods')
  .action(async ({ name, controlPlaneOnly }: Options) => {
    const flavour = controlPlaneOnly ? 'control-plane-only' : 'full';
    const cluster = await clusterUp({ name, flavour, log });
    log(`cluster ${name} is up (${cluster.flavour}, ${cluster.backend})`);
    process.stdout.write(
      `export KUBECONFIG=${cluster.kubeconfigPath}\nexport PATH=${[cluster.programs.kubectl, cluster.programs.helm].map((path) => path.slice(0, path.lastIndexOf('/'))).join(':')}:$PATH\n`,
    );
  });

command('down', 'end a cluster and remove all it left').action(async ({ name }: Options) => {
  await clusterDown({ name, log });
  log(`cluster ${name} is down`);
});

command('status', 'show components, their health and the kubeconfig').action(async ({ name }: Options) => {
  const cluster = await open(name);
  const components = await cluster.status();
  const line = (a: string, b: string, c: string) => `${a.padEnd(26)} ${b.padEnd(9)} ${c}\n`;
  process.stdout.write(line('COMPONENT', 'PID', 'HEALTH'));
  for (const { component, pid, health } of components) {
    process.stdout.write(line(component, pid === undefined ? '-' : String(pid), health));
  }
  process.stdout.write(`\nflavour     ${cluster.flavour} (${cluster.backend})\n`);
  process.stdout.write(`kubeconfig  ${cluster.kubeconfigPath}\n`);
  process.stdout.write(`state       ${stateDirOf({ name })}\n`);
  if (components.some(({ health }) => health !== 'ok')) process.exitCode = 1;
});

command('load-image', 'import an image archive (docker-archive or OCI) into the cluster')
  .argument('<tarball>', 'path of the archive')
  .action(async (tarball: string, { name }: Options) => {
    await (await open(name)).loadImage(resolve(tarball));
    log(`${tarball} is loaded into cluster ${name}`);
  });

program
  .command('image')
  .description('build the image of the checkout and print the path of its archive')
  .option('--tag <tag>', 'name of the image')
  .action(async ({ tag }: { tag?: string }) => {
    const image = await buildImage({ log, ...(tag === undefined ? {} : { tag }) });
    log(`built ${image.tag}`);
    process.stdout.write(`${image.tarball}\n`);
  });

try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
