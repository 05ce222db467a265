import { Registry } from 'prom-client';
import { BackupMetrics } from './backup-metrics.ts';
import { CopyMetrics } from './copy-metrics.ts';

/** A Markdown table of what a registry exposes, in the order of registration. */
export function renderMetricsPage(registry: Registry): string {
  const rows = registry.getMetricsAsArray().map((metric) => {
    // The library's types leave out the label names of a metric.
    const { labelNames = [] } = metric as { labelNames?: string[] };
    const labels = labelNames.map((label) => `\`${label}\``).join(', ');
    return `| \`${metric.name}\` | ${metric.type} | ${labels} | ${metric.help.replaceAll('|', '\\|')} |`;
  });
  return ['| Name | Type | Labels | Meaning |', '| --- | --- | --- | --- |', ...rows, ''].join('\n');
}

/** docs/metrics.md: everything about the backups themselves. */
export function backupMetricsPage(): string {
  const registry = new Registry();
  new BackupMetrics(registry, { labelled: true });
  const copies = new Registry();
  new CopyMetrics(copies, { labelled: true });
  return `# Metrics

<!-- Generated from src/metrics by "npm run generate". Do not edit. -->

The operator gives each series the labels \`namespace\` and \`schedule\`. \`km-backup serve\` has one directory and
adds no labels. Every value is read from the status of the resources (or the state file) at the scrape, so a restart
resets nothing, and the series of a schedule end with it.

${renderMetricsPage(registry)}
## Copies off the cluster

\`km-backup serve\` has the first ones, without labels, if it copies.

${renderMetricsPage(copies)}`;
}
