import type { Kubectl } from './kubectl.ts';

/** A claim of the cluster's default StorageClass. */
export function claim(name: string): object {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
  };
}

const MOUNT_ROOT = '/claims';

/** Where `toolbox` mounts a claim. */
export const mountOf = (claimName: string): string => `${MOUNT_ROOT}/${claimName}`;

/** Of a pod that runs as the Jobs do, in a namespace that enforces `restricted`. */
export const JOB_USER = {
  runAsNonRoot: true,
  runAsUser: 65532,
  runAsGroup: 65532,
  fsGroup: 65532,
  seccompProfile: { type: 'RuntimeDefault' },
} as const;

/** An idle pod with claims mounted, as the user of the Jobs, to look into volumes. */
export function toolbox(name: string, image: string, claims: readonly string[]): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: {
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 0,
      securityContext: JOB_USER,
      containers: [
        {
          name: 'toolbox',
          image,
          command: ['node', '-e', 'setInterval(() => {}, 1 << 30)'],
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
          volumeMounts: claims.map((claimName) => ({ name: claimName, mountPath: mountOf(claimName) })),
        },
      ],
      volumes: claims.map((claimName) => ({
        name: claimName,
        persistentVolumeClaim: { claimName },
      })),
    },
  };
}

/** Runs a Node.js program in a toolbox. Resolves with its output. */
export function nodeIn(kubectl: Kubectl, pod: string, program: string): Promise<string> {
  return kubectl.exec(pod, ['node', '--input-type=module', '-'], program);
}

/** Applies a claim `data` with a pod `toolbox` on it, and waits for the pod. */
export async function applyDataClaim(kubectl: Kubectl, image: string): Promise<void> {
  await kubectl.apply([claim('data'), toolbox('toolbox', image, ['data'])]);
  await kubectl.run(['wait', 'pod/toolbox', '--for=condition=Ready', '--timeout=180s']);
}

/** The same with a file in the claim. */
export async function applyDataClaimWithNote(kubectl: Kubectl, image: string): Promise<void> {
  await applyDataClaim(kubectl, image);
  const file = JSON.stringify(`${mountOf('data')}/note`);
  await nodeIn(
    kubectl,
    'toolbox',
    `import { writeFileSync } from 'node:fs'; writeFileSync(${file}, 'state')`,
  );
}

/** Program that fills `root` with an SQLite database, `files` small files, links and odd names. */
export const applicationState = (root: string, files: number): string => `
import { mkdirSync, writeFileSync, symlinkSync, linkSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
const root = ${JSON.stringify(root)};
for (let index = 0; index < ${files}; index++) {
  const folder = root + '/documents/' + String(index % 37).padStart(2, '0');
  mkdirSync(folder, { recursive: true });
  writeFileSync(folder + '/note-' + index + '.md', ('# Note ' + index + '\\n').repeat(1 + (index % 50)));
}
mkdirSync(root + '/odd/empty folder', { recursive: true });
writeFileSync(root + '/odd/-rf', 'a leading dash');
writeFileSync(root + '/odd/naïve \\n name', 'a newline');
writeFileSync(root + '/odd/' + 'long'.repeat(60), 'a long name');
symlinkSync('../documents', root + '/odd/link');
linkSync(root + '/odd/-rf', root + '/odd/hard link');
const db = new DatabaseSync(root + '/gateway.db');
db.exec('PRAGMA journal_mode=WAL; CREATE TABLE IF NOT EXISTS event(id INTEGER PRIMARY KEY, body TEXT)');
const insert = db.prepare('INSERT INTO event(body) VALUES (?)');
for (let index = 0; index < 2000; index++) insert.run('event ' + index);
db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
db.close();
`;

/** Program that prints a line for everything below `root` (kind, mode, content's SHA-256, path), sorted. */
export const treeListing = (root: string, exclude: string): string => `
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
const root = ${JSON.stringify(root)};
const lines = [];
const walk = (path) => {
  for (const name of readdirSync(root + '/' + path)) {
    const child = path === '' ? name : path + '/' + name;
    if (child === ${JSON.stringify(exclude)}) continue;
    const stats = lstatSync(root + '/' + child);
    const mode = (stats.mode & 0o7777).toString(8);
    if (stats.isDirectory()) { lines.push(JSON.stringify(['dir', mode, '', child])); walk(child); }
    else if (stats.isSymbolicLink()) lines.push(JSON.stringify(['link', '', readlinkSync(root + '/' + child), child]));
    else lines.push(JSON.stringify(['file', mode, createHash('sha256').update(readFileSync(root + '/' + child)).digest('hex'), child]));
  }
};
walk('');
console.log(lines.sort().join('\\n'));
`;
