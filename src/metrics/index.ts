export { BackupMetrics } from './backup-metrics.ts';
export { CopyMetrics, type CopySnapshot } from './copy-metrics.ts';
export { backupMetricsPage, renderMetricsPage } from './page.ts';
export { BACKUP_METRICS, type BackupSnapshot } from './snapshot.ts';
