/** Checks an installation and a namespace, and says what to do. Pure: everything comes from what was read. */
import { customResourceDefinition, RESOURCES } from '../api/crd.ts';
import { GROUP, VERSION } from '../api/names.ts';
import { claimNamesOf } from '../api/schedule-claims.ts';
import { placementFor } from '../operator/backup/placement.ts';
import type { Claim, Definition, Diagnosed, JsonSchema } from './doctor-observe.ts';
import { kubernetesCause } from './kubernetes-causes.ts';
import { operatorTrouble } from './operator-state.ts';
import { quantityOf } from './quantity.ts';
import { wordsOf } from './rights.ts';

export interface Check {
  readonly name: string;
  readonly state: 'ok' | 'warning' | 'problem' | 'unknown';
  readonly message: string;
  readonly todo?: string | undefined;
}

type Rule = (seen: Diagnosed) => Check[];

/** The worst first. */
const ORDER = ['problem', 'warning', 'unknown', 'ok'] as const;

/** Every check, the worst first. */
export function doctor(seen: Diagnosed): Check[] {
  const rules = [definitions, operator, clock, permissions, quotas, claims, nodes, images, volumes];
  return rules.flatMap((rule) => rule(seen)).sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state));
}

const check = (name: string, state: Check['state'], message: string, todo?: string): Check => ({
  name,
  state,
  message,
  ...(todo !== undefined && { todo }),
});

const UPDATE = 'Update the CRDs: kubectl apply --server-side --force-conflicts -f crds/ (docs/install.md).';

const definitions: Rule = ({ definitions: found }) => {
  const name = 'CRDs';
  const checks = RESOURCES.flatMap((ours): Check[] => {
    const full = `${ours.plural}.${GROUP}`;
    const theirs = found.get(full);
    if (theirs === 'denied') return [];
    if (!theirs) return [check(name, 'problem', `The CRD ${full} is not installed.`, UPDATE)];
    const missing = missingFields(schemaOf(customResourceDefinition(ours)), schemaOf(theirs));
    if (missing.length === 0) return [];
    const some = missing.slice(0, 5).join(', ');
    return [
      check(
        name,
        'problem',
        `The CRD ${full} is outdated: it lacks ${some}${missing.length > 5 ? ` and ${missing.length - 5} more` : ''}. The API server drops these fields.`,
        UPDATE,
      ),
    ];
  });
  if (checks.length > 0) return checks;
  return [...found.values()].includes('denied')
    ? [check(name, 'unknown', 'You may not see the CRDs, so whether they are current is unknown.')]
    : [check(name, 'ok', `All ${RESOURCES.length} CRDs are current.`)];
};

function schemaOf(definition: Pick<Definition, 'spec'> | object): JsonSchema | undefined {
  const { spec } = definition as Pick<Definition, 'spec'>;
  return spec?.versions?.find(({ name }) => name === VERSION)?.schema?.openAPIV3Schema;
}

/** Paths of fields that we know and the cluster does not; below one that is missing nothing is listed. */
function missingFields(ours: JsonSchema | undefined, theirs: JsonSchema | undefined, path = ''): string[] {
  const found = Object.entries(ours?.properties ?? {}).flatMap(([field, schema]) => {
    const other = theirs?.properties?.[field];
    const here = path === '' ? field : `${path}.${field}`;
    return other ? missingFields(schema, other, here) : [here];
  });
  return ours?.items ? [...found, ...missingFields(ours.items, theirs?.items, `${path}[]`)] : found;
}

const operator: Rule = ({ operator: state, namespace, nowMs }) => {
  const name = 'Operator';
  if (state.state === 'denied')
    return [
      check(
        name,
        'unknown',
        'You may not see the Deployment of the operator, so whether it runs is unknown.',
      ),
    ];
  const trouble = operatorTrouble(state, namespace, nowMs);
  if (trouble) return [check(name, 'problem', trouble.cause, trouble.todo)];
  return state.deployments.map(({ namespace: where, name: what, ready, wanted, image, lease }) => {
    const leader = lease ? `; ${lease.holder} leads` : '';
    const text = `${where}/${what}: ${ready} of ${wanted} pods are ready${leader}; image ${image ?? 'unknown'}.`;
    return check(name, ready < wanted ? 'warning' : 'ok', text);
  });
};

/** A Lease that was renewed this far in the future shows that clocks differ. */
const CLOCK_MS = 10_000;

const clock: Rule = ({ operator: state, nowMs }) => {
  const name = 'Clock';
  const renewals =
    state.state === 'known' ? state.deployments.flatMap(({ lease }) => lease?.renewTime ?? []) : [];
  if (renewals.length === 0) return [];
  const aheadMs = Math.max(...renewals.map((time) => Date.parse(time))) - nowMs;
  return aheadMs > CLOCK_MS
    ? [
        check(
          name,
          'warning',
          `The clock here is at least ${Math.round(aheadMs / 1000)} s behind that of the operator. Ages and times that are shown are wrong by as much.`,
          'Check the time synchronization of this machine and of the nodes.',
        ),
      ]
    : [check(name, 'ok', 'The clocks here and of the operator agree, as far as its Lease shows.')];
};

const permissions: Rule = ({ rights, namespace }) => {
  const name = 'Permissions';
  if (rights === 'denied') return [check(name, 'unknown', 'The API server does not say what you may do.')];
  const missing = rights.filter(({ allowed }) => !allowed).map(({ right }) => right);
  if (missing.length === 0)
    return [check(name, 'ok', `You may do all that the plugin does in namespace ${namespace}.`)];
  return missing.map((right) =>
    check(
      name,
      'warning',
      `You may not ${wordsOf(right)} in namespace ${namespace}, which these commands need: ${right.commands}.`,
      'Ask for it; the roles view (to look) and edit (to act) of Kubernetes have it.',
    ),
  );
};

const COUNTED = /^(pods|count\/|requests\.|limits\.|cpu$|memory$|persistentvolumeclaims)/;
const ALMOST = 0.9;

const quotas: Rule = ({ quotas: list, namespace }) => {
  const name = 'Quotas';
  if (list === 'denied')
    return [check(name, 'unknown', `You may not see the ResourceQuotas of namespace ${namespace}.`)];
  const found = list.flatMap(({ metadata, status }) =>
    Object.entries(status?.hard ?? {}).flatMap(([what, hard]): Check[] => {
      const used = status?.used?.[what];
      const [most, now] = [quantityOf(hard), quantityOf(used)];
      if (!COUNTED.test(what) || most === undefined || now === undefined || now < most * ALMOST) return [];
      const text = `ResourceQuota ${metadata.name}: ${used} of ${hard} ${what} are used`;
      return now >= most
        ? [
            check(
              name,
              'problem',
              `${text}: a run may not get its pod.`,
              'Free or raise the quota: kubectl describe quota.',
            ),
          ]
        : [check(name, 'warning', `${text}.`)];
    }),
  );
  return found.length > 0 ? found : [check(name, 'ok', 'No quota is near its limit.')];
};

const claims: Rule = ({ claims: list, schedules, namespace }) => {
  const name = 'Claims';
  if (list === 'denied' || schedules === 'denied')
    return [check(name, 'unknown', `You may not see the claims or schedules of namespace ${namespace}.`)];
  const byName = new Map(list.map((claim) => [claim.metadata.name, claim]));
  const found = schedules.flatMap(({ metadata, spec }) =>
    claimNamesOf(spec).flatMap((claimName): Check[] => {
      const trouble = troubleOf(claimName, byName.get(claimName));
      return trouble
        ? [check(name, 'problem', `Schedule ${metadata.name}: ${trouble.cause}`, trouble.todo)]
        : [];
    }),
  );
  return found.length > 0 ? found : [check(name, 'ok', 'All claims that schedules name exist.')];
};

function troubleOf(name: string, claim: Claim | undefined): { cause: string; todo: string } | undefined {
  if (!claim)
    return { cause: `there is no claim ${name}.`, todo: 'Create it, or name another in the schedule.' };
  if (claim.spec.volumeMode === 'Block')
    return {
      cause: `claim ${name} is a raw block device.`,
      todo: 'Name a claim with volumeMode: Filesystem.',
    };
  const phase = claim.status?.phase;
  if (phase === 'Lost')
    return { cause: `claim ${name} has lost its volume.`, todo: 'Restore into a new claim.' };
  return undefined;
}

const nodes: Rule = ({ claims: list, pods, schedules }) => {
  const name = 'Nodes';
  if (list === 'denied' || pods === 'denied' || schedules === 'denied') return [];
  const byName = new Map(list.map((claim) => [claim.metadata.name, claim]));
  const found = schedules.flatMap(({ metadata, spec }): Check[] => {
    const named = claimNamesOf(spec).flatMap((claim) => byName.get(claim) ?? []);
    const placed = placementFor(named, pods);
    return placed.ok ? [] : [check(name, 'problem', `Schedule ${metadata.name}: ${placed.message}`)];
  });
  return found.length > 0 ? found : [check(name, 'ok', 'Each schedule can mount its claims on one node.')];
};

const images: Rule = ({ pods, namespace }) => {
  const name = 'Pods';
  if (pods === 'denied')
    return [check(name, 'unknown', `You may not see the pods of namespace ${namespace}.`)];
  const found = pods.filter(isJobPod).flatMap(({ metadata, status }) => {
    const waiting = status?.containerStatuses?.map(({ state }) => state?.waiting).find((one) => one?.reason);
    const unscheduled = status?.conditions?.find(
      ({ type, status: is }) => type === 'PodScheduled' && is === 'False',
    );
    const { reason, message } = waiting ?? unscheduled ?? {};
    const cause = kubernetesCause(reason, message);
    return cause
      ? [
          check(
            name,
            'problem',
            `Pod ${metadata.name}: ${cause.what}. ${message ?? reason ?? ''}`,
            cause.todo,
          ),
        ]
      : [];
  });
  return found.length > 0 ? found : [check(name, 'ok', 'No pod of a run is stuck.')];
};

const isJobPod = ({ metadata }: { metadata: { labels?: Record<string, string> } }) =>
  metadata.labels?.['app.kubernetes.io/name'] === 'km-backup';

const FULL = 0.9;

const volumes: Rule = ({ claims: list, schedules, backups }) => {
  const name = 'Volumes';
  if (list === 'denied' || schedules === 'denied') return [];
  const byName = new Map(list.map((claim) => [claim.metadata.name, claim]));
  const found = schedules.flatMap(({ metadata, spec, status }): Check[] => {
    const last = status?.lastBackup?.name;
    const run = backups === 'denied' ? undefined : backups.find((one) => one.metadata.name === last);
    const claimName = claimNamesOf(spec).at(-1)!;
    if (run?.status?.reason === 'NoSpace') {
      return [
        check(
          name,
          'problem',
          `Schedule ${metadata.name}: the volume of its archives is full. ${run.status.message ?? ''}`,
          'Enlarge the claim, or keep fewer archives (spec.retention).',
        ),
      ];
    }
    const capacity = quantityOf(byName.get(claimName)?.status?.capacity?.storage);
    const bytes = status?.archives?.bytes ?? 0;
    if (capacity === undefined || bytes < capacity * FULL) return [];
    const share = Math.round((100 * bytes) / capacity);
    return [
      check(
        name,
        'warning',
        `Schedule ${metadata.name}: its archives alone take ${share} % of claim ${claimName}.`,
        'Enlarge the claim, or keep fewer archives (spec.retention).',
      ),
    ];
  });
  return found.length > 0 ? found : [check(name, 'ok', 'No volume of archives is known to be full.')];
};
