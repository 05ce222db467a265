export { type AggregateCheck, aggregateChecks } from './aggregate.ts';
export {
  type BackupCheck,
  type BackupState,
  backupCheck,
  type CheckStatus,
  type ClockCheck,
  type CopyCheck,
  type Restored,
} from './backup-check.ts';
export { type Access, bearerGuard } from './bearer-guard.ts';
export { type Certificate, CertificateError, followCertificate, readCertificate } from './certificate.ts';
export {
  type Guard,
  type HttpAnswer,
  json,
  type Route,
  type RunningServer,
  startHttpServer,
  text,
} from './http-server.ts';
export { type HealthSources, healthRoutes } from './routes.ts';
export { selfSigned } from './self-signed.ts';
