/** A real PostgreSQL on the cluster, as the image that docs/databases.md and its example name. */
import { appendFile, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { cached } from '../cluster/cache.ts';
import { cacheRoot } from '../cluster/layout.ts';
import { writeOciArchive } from '../cluster/oci.ts';
import { ensurePackages } from '../cluster/packages.ts';
import { run } from '../cluster/process.ts';
import { elapsedLog } from '../cluster/progress.ts';
import { claim, JOB_USER } from './volume.ts';

const USER = 999;
/** Who the image's files belong to, as in the image that people use. */
export const DATABASE_USER = { runAsUser: USER, runAsGroup: USER, fsGroup: USER } as const;
const IMAGE = 'docker.io/library/postgres:17';
const BIN = '/usr/lib/postgresql/15/bin';
/** Half a gigabyte that PostgreSQL runs without: documentation, lists of packages, the compiler of large queries. */
const LEFT_OUT = ['usr/share/doc', 'usr/share/locale', 'usr/share/man', 'var/cache/apt', 'var/lib/apt/lists'];

/** An image archive with the PostgreSQL of Debian 12, version 15. @returns its path */
export async function ensurePostgresImage(): Promise<string> {
  const log = elapsedLog(process.stderr);
  await ensurePackages('image', log);
  const dir = await cached(
    cacheRoot(process.env, homedir()),
    'postgres-bookworm-1',
    log,
    'making an image with PostgreSQL (a minute, once)',
    async (out) => {
      const rootfs = join(out, 'rootfs');
      await run('debootstrap', ['--variant=minbase', '--include=postgresql', 'bookworm', rootfs]);
      await appendFile(join(rootfs, 'etc/passwd'), `database:x:${USER}:${USER}::/tmp:/bin/bash\n`);
      for (const folder of LEFT_OUT) await rm(join(rootfs, folder), { recursive: true });
      await run('sh', ['-c', `rm ${join(rootfs, 'usr/lib')}/*/libLLVM*`]);
      const config = { Env: [`PATH=${BIN}:/usr/bin:/bin`, 'LANG=C.UTF-8'] };
      await writeOciArchive(rootfs, IMAGE, config, join(out, 'image.tar'));
      await rm(rootfs, { recursive: true });
    },
  );
  return join(dir, 'image.tar');
}

const SERVER = `
initdb --pgdata=/data/db --username="$PGUSER" --pwfile=<(echo "$PGPASSWORD") --auth=scram-sha-256
echo 'host all all all scram-sha-256' >> /data/db/pg_hba.conf
exec postgres -D /data/db -c listen_addresses='*' -c unix_socket_directories=/tmp
`;

const podSpec = (command: string, claimName: string, mountPath: string) => ({
  securityContext: { ...JOB_USER, ...DATABASE_USER },
  containers: [
    {
      name: 'postgres',
      image: IMAGE,
      command: ['bash', '-euc', command],
      env: [
        { name: 'PGHOST', value: 'shop-db' },
        { name: 'PGDATABASE', value: 'shop' },
        { name: 'PGUSER', valueFrom: { secretKeyRef: { name: 'shop-db', key: 'username' } } },
        { name: 'PGPASSWORD', valueFrom: { secretKeyRef: { name: 'shop-db', key: 'password' } } },
      ],
      securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
      volumeMounts: [{ name: 'volume', mountPath }],
    },
  ],
  volumes: [{ name: 'volume', persistentVolumeClaim: { claimName } }],
});

/** The database `shop-db` of the page, with its Secret, and the suspended CronJob `load` that the page asks for. */
export function shopDatabase(): object[] {
  const labels = { app: 'shop-db' };
  const start = `[ -e /data/db/PG_VERSION ] || ${SERVER.trim()}`;
  return [
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'shop-db' },
      stringData: { username: 'shop', password: 'secret' },
    },
    claim('shop-db'),
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'shop-db' },
      spec: { selector: labels, ports: [{ port: 5432 }] },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: { name: 'shop-db' },
      spec: {
        serviceName: 'shop-db',
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: podSpec(start, 'shop-db', '/data') },
      },
    },
    {
      apiVersion: 'batch/v1',
      kind: 'CronJob',
      metadata: { name: 'load' },
      spec: {
        suspend: true,
        schedule: '0 0 1 1 *',
        jobTemplate: {
          spec: {
            backoffLimit: 0,
            template: {
              spec: {
                restartPolicy: 'Never',
                ...podSpec('pg_restore --clean --if-exists --dbname=shop /dumps/shop', 'dumps', '/dumps'),
              },
            },
          },
        },
      },
    },
  ];
}
