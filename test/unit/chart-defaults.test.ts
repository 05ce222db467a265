import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { operatorCommand } from '../../src/cli/operator/arguments.ts';

const values = parse(
  readFileSync(join(import.meta.dirname, '../../charts/km-backup-operator/values.yaml'), 'utf8'),
);

describe('the chart sets by default what the operator has by default', () => {
  it.each([
    ['lease-duration', values.leaderElection.leaseDuration],
    ['renew-deadline', values.leaderElection.renewDeadline],
    ['retry-period', values.leaderElection.retryPeriod],
    ['max-concurrent-runs', values.maxConcurrentRuns],
    ['max-concurrent-runs-per-namespace', values.maxConcurrentRunsPerNamespace],
    ['workers', values.workers],
    ['api-qps', values.apiQps],
    ['log-level', values.logLevel],
    ['namespaces', values.namespaces],
    ['allow-scripts', values.jobs.allowScripts],
    ['page', values.page.enabled],
    ['elevated-namespaces', values.elevated.namespaces],
    ['image-pull-secrets', values.jobs.imagePullSecrets],
    ['image-pull-policy', values.image.pullPolicy],
  ])('--%s', (name, value) => {
    const option = operatorCommand().options.find(({ long }) => long === `--${name}`);
    expect(option?.defaultValue).toEqual(value);
    expect(value).toBeDefined();
  });
});
