/** The pages of the documentation that an assistant needs to operate backups, as resources. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { McpServer } from '@modelcontextprotocol/server';

/** File below docs/, and what it is for. Links between pages are relative, and so are their addresses. */
export const PAGES = {
  'operations.md': 'Operations playbook: back up, restore and verify, day by day',
  'standalone.md': 'km-backup serve and its KM_BACKUP_* variables',
  'restore.md': 'What to do when data is lost on a cluster, symptom by symptom',
  'km-backup-restore.md': 'What km-backup restore does, step by step',
  'high-availability.md': 'Several stores and the application on top, restored in order',
  'kmrestore.md': 'Restores as a resource of Kubernetes',
  'disaster-recovery.md': 'What to do when the cluster or the volume is lost',
  'offsite.md': 'Copies off the machine or the cluster',
  'monitoring.md': 'Health, metrics and alerts',
  'troubleshooting.md': 'Every reason and exit code: what it means and what to do',
  'mcp.md': 'This server: its tools, and how approval works',
} as const;

/** The same seen from src/mcp/ and from dist/chunks/. */
const DOCS = path.join(import.meta.dirname, '../../docs');

export function addPages(server: McpServer): void {
  for (const [file, description] of Object.entries(PAGES)) {
    server.registerResource(
      file,
      `km-backup://docs/${file}`,
      { title: description.replace(/:.*/, ''), description, mimeType: 'text/markdown' },
      async (uri) => ({
        contents: [
          { uri: uri.href, mimeType: 'text/markdown', text: await readFile(path.join(DOCS, file), 'utf8') },
        ],
      }),
    );
  }
}
