import { mountOf } from '../test/support/volume.ts';

export const DEMO = {
  namespace: 'km-demo',
  application: 'gateway',
  claim: 'gateway-state',
  schedule: 'gateway-state',
  /** Folder of the archives inside the claim. */
  archives: 'backups/archives',
  documents: 4000,
  restore: 'back',
  damagedFile: 'documents/07/7.md',
} as const;

const WRITE_EVERY_MS = 250;

/** A pod that writes a row into an SQLite database four times a second. */
export function demoApplication(image: string): object {
  const database = `${mountOf(DEMO.claim)}/gateway.db`;
  const program = `
    const { DatabaseSync } = require('node:sqlite');
    const db = new DatabaseSync(${JSON.stringify(database)});
    db.exec('PRAGMA journal_mode=WAL; CREATE TABLE IF NOT EXISTS event(id INTEGER PRIMARY KEY, at TEXT, body TEXT)');
    const insert = db.prepare('INSERT INTO event(at, body) VALUES (?, ?)');
    for (let i = 0; i < 20000; i++) { if (i % 1000 === 0) db.exec(i ? 'COMMIT; BEGIN' : 'BEGIN'); insert.run(new Date().toISOString(), 'node ' + i); }
    db.exec('COMMIT');
    const timer = setInterval(() => insert.run(new Date().toISOString(), 'tick'), ${WRITE_EVERY_MS});
    process.on('SIGTERM', () => { clearInterval(timer); db.close(); process.exit(0); });
  `;
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: DEMO.application },
    spec: {
      replicas: 1,
      strategy: { type: 'Recreate' },
      selector: { matchLabels: { app: DEMO.application } },
      template: {
        metadata: { labels: { app: DEMO.application } },
        spec: {
          automountServiceAccountToken: false,
          securityContext: {
            runAsNonRoot: true,
            runAsUser: 65532,
            runAsGroup: 65532,
            fsGroup: 65532,
            seccompProfile: { type: 'RuntimeDefault' },
          },
          containers: [
            {
              name: DEMO.application,
              image,
              command: ['node', '-e', program],
              securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
              volumeMounts: [{ name: 'state', mountPath: mountOf(DEMO.claim) }],
            },
          ],
          volumes: [{ name: 'state', persistentVolumeClaim: { claimName: DEMO.claim } }],
        },
      },
    },
  };
}

export const demoSchedule = `apiVersion: km.duskmantle.io/v1alpha1
kind: KmBackupSchedule
metadata:
  name: ${DEMO.schedule}
spec:
  cron: "* * * * *"
  source:
    persistentVolumeClaim:
      claimName: ${DEMO.claim}
  retention:
    limit: 3
`;

export const demoRestore = `apiVersion: km.duskmantle.io/v1alpha1
kind: KmRestore
metadata:
  name: ${DEMO.restore}
spec:
  source:
    scheduleName: ${DEMO.schedule}
  target:
    persistentVolumeClaim:
      claimName: ${DEMO.claim}
  quiesce:
    auto: true
  checks:
    sqlite: ["*.db"]
`;

/** Program that ruins one document and deletes a folder of them. */
export const damage = (root: string): string => `
import { rmSync, writeFileSync } from 'node:fs';
const root = ${JSON.stringify(root)};
writeFileSync(root + '/${DEMO.damagedFile}', 'xxxxxxxxxxxx');
rmSync(root + '/documents/08', { recursive: true });
`;

/** Program that writes a few thousand small documents, 20 MB in all, below `root`. */
export const documents = (root: string): string => `
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
for (let index = 0; index < ${DEMO.documents}; index++) {
  const folder = ${JSON.stringify(root)} + '/documents/' + String(index % 64).padStart(2, '0');
  mkdirSync(folder, { recursive: true });
  writeFileSync(folder + '/' + index + '.md', '# Document ' + index + '\\n\\n' + randomBytes(50 * (1 + (index % 100))).toString('hex'));
}
`;
