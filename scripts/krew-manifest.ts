/**
 * Prints the manifest of the kubectl plugin for krew: `node scripts/krew-manifest.ts REPOSITORY_URL ARCHIVE`.
 * ARCHIVE is what `npm pack` made, which is also an asset of the release.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { stringify } from 'yaml';

const [repository, archive] = process.argv.slice(2);
if (repository === undefined || archive === undefined) {
  console.error('usage: node scripts/krew-manifest.ts REPOSITORY_URL ARCHIVE');
  process.exit(2);
}
const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../package.json'), 'utf8')) as {
  version: string;
};
const sha256 = createHash('sha256').update(readFileSync(archive)).digest('hex');
process.stdout.write(
  stringify({
    apiVersion: 'krew.googlecontainertools.github.com/v1alpha2',
    kind: 'Plugin',
    // `km` is short and may be taken.
    metadata: { name: 'km-backup' },
    spec: {
      version: `v${version}`,
      homepage: repository,
      shortDescription: 'Back up and restore PersistentVolumeClaims',
      description:
        'Shows, explains, runs and restores the backups of km-backup-operator. Acts with your own rights only.\n',
      caveats: 'Needs Node.js 26 or later on PATH.\n',
      platforms: [
        {
          selector: { matchExpressions: [{ key: 'os', operator: 'In', values: ['darwin', 'linux'] }] },
          uri: `${repository}/releases/download/v${version}/${basename(archive)}`,
          sha256,
          files: [{ from: 'package/*', to: '.' }],
          bin: 'bin/kubectl-km',
        },
      ],
    },
  }),
);
