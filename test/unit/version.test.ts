/** The version, wherever it is written. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');
const { version } = JSON.parse(read('package.json')) as { version: string };

describe('the version of package.json', () => {
  it.each<[file: string, pattern: RegExp]>([
    ['package-lock.json', /"version": "(.+)",/],
    ['charts/km-backup-operator/Chart.yaml', /^version: (.+)$/m],
    ['charts/km-backup-operator/Chart.yaml', /^appVersion: (.+)$/m],
    ['deploy/install.yaml', /image: "localhost\/km-backup-operator:(.+)"/],
    ['deploy/examples/restore-job.yaml', /image: localhost\/km-backup-operator:(.+)/],
    ['deploy/gitops/argocd-application.yaml', /targetRevision: (.+)/],
    ['docs/install.md', /localhost\/km-backup-operator:(\S+)/],
  ])('is that of %s (%s)', (file, pattern) => {
    expect(pattern.exec(read(file))?.[1]).toBe(version);
  });
});

describe('CHANGELOG.md', () => {
  const headings = [...read('CHANGELOG.md').matchAll(/^## (.+)$/gm)].map(([, heading]) => heading!);

  it('has sections as Keep a Changelog says', () => {
    for (const heading of headings.filter((one) => one !== '[Unreleased]'))
      expect(heading).toMatch(/^\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d$/);
  });

  it('has each kind of change once in a section', () => {
    for (const section of read('CHANGELOG.md').split(/^## /m).slice(1)) {
      const kinds = [...section.matchAll(/^### (.+)$/gm)].map(([, kind]) => kind!);
      expect(kinds).toEqual([...new Set(kinds)]);
      for (const kind of kinds)
        expect(['Added', 'Changed', 'Deprecated', 'Removed', 'Fixed', 'Security']).toContain(kind);
    }
  });

  it('has a section of this version', () => {
    expect(headings.some((heading) => heading.startsWith(`[${version}] - `))).toBe(true);
  });
});
