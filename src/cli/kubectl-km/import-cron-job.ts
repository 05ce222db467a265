/** A CronJob whose container runs tar, as a KmBackupSchedule. Pure. */
import path from 'node:path';
import { destinationOf, type ImportOptions, type Translation } from './import-env.ts';
import { shellWords } from './shell-words.ts';

interface Container {
  readonly name?: string;
  readonly image?: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly resources?: object;
  readonly env?: readonly unknown[];
  readonly envFrom?: readonly unknown[];
  readonly securityContext?: Readonly<Record<string, unknown>>;
  readonly volumeMounts?: readonly {
    readonly name: string;
    readonly mountPath: string;
    readonly subPath?: string;
  }[];
}

interface PodSpec {
  readonly containers?: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly volumes?: readonly {
    readonly name: string;
    readonly persistentVolumeClaim?: { readonly claimName: string };
  }[];
  readonly securityContext?: Readonly<Record<string, unknown>>;
  readonly nodeSelector?: object;
  readonly affinity?: object;
  readonly tolerations?: readonly unknown[];
  readonly priorityClassName?: string;
}

export interface CronJob {
  readonly kind?: string;
  readonly metadata?: { readonly name?: string; readonly namespace?: string };
  readonly spec?: {
    readonly schedule?: string;
    readonly timeZone?: string;
    readonly suspend?: boolean;
    readonly startingDeadlineSeconds?: number;
    readonly concurrencyPolicy?: string;
    readonly successfulJobsHistoryLimit?: number;
    readonly failedJobsHistoryLimit?: number;
    readonly jobTemplate?: {
      readonly spec?: {
        readonly activeDeadlineSeconds?: number;
        readonly backoffLimit?: number;
        readonly template?: { readonly spec?: PodSpec };
      };
    };
  };
}

/** What a tar command line says. */
export interface TarCall {
  readonly source: string | undefined;
  readonly output: string | undefined;
  readonly exclude: readonly string[];
  readonly format: 'gzip' | 'zstd' | undefined;
  readonly problems: readonly string[];
}

/** Reads the words of `tar c…`; undefined if they do not create an archive. */
export function tarCall(words: readonly string[]): TarCall | undefined {
  const at = words.findIndex((word) => /(^|\/)(g?tar|bsdtar)$/.test(word));
  if (at < 0) return undefined;
  const exclude: string[] = [];
  const members: string[] = [];
  const problems: string[] = [];
  let output: string | undefined;
  let directory: string | undefined;
  let format: TarCall['format'];
  let creates = false;
  const rest = words.slice(at + 1);
  for (let index = 0; index < rest.length; index += 1) {
    const word = rest[index]!;
    const [flag = '', attached] = word.startsWith('--') ? split(word) : [word, undefined];
    const value = () => attached ?? rest[++index];
    const letters =
      index === 0 && /^[a-zA-Z]+$/.test(word) ? word : /^-[a-zA-Z]+$/.test(word) ? word.slice(1) : '';
    if (letters !== '') {
      creates ||= letters.includes('c');
      if (letters.includes('z')) format = 'gzip';
      for (const letter of letters) {
        if (letter === 'f') output = value();
        else if (letter === 'C') directory = value();
        else if ('jJ'.includes(letter)) problems.push('Archives are gzip or zstd, not bzip2 or xz.');
        else if (letter === 'X')
          problems.push(`The patterns of the file ${value()} belong into spec.source.exclude.`);
      }
    } else if (flag === '--exclude') exclude.push(value() ?? '');
    else if (flag === '--file') output = value();
    else if (flag === '--directory') directory = value();
    else if (flag === '--create') creates = true;
    else if (flag === '--gzip') format = 'gzip';
    else if (flag === '--zstd') format = 'zstd';
    else if (flag.startsWith('-')) problems.push(`The option ${word} of tar is left out.`);
    else members.push(word);
  }
  if (!creates) return undefined;
  const [first = '.', ...more] = members;
  if (more.length > 0)
    problems.push(
      `tar packs ${members.join(', ')}: a schedule has one source. Make one for each, or exclude the rest.`,
    );
  const source = directory === undefined ? first : path.posix.join(directory, first);
  return { source, output, exclude: exclude.filter(Boolean), format, problems };
}

function split(word: string): [string, string | undefined] {
  const at = word.indexOf('=');
  return at < 0 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
}

/** How many archives a script keeps, if it says so as scripts usually do. */
export function retentionOf(script: string): { limit?: number; maxAge?: string } | undefined {
  const days = /-mtime\s+\+(\d+)\b/.exec(script)?.[1];
  if (days !== undefined && /-delete|rm\b/.test(script)) return { limit: 0, maxAge: `${Number(days) + 1}d` };
  const from = /tail\s+-n\s*\+(\d+)/.exec(script)?.[1];
  if (from !== undefined && /rm\b/.test(script)) return { limit: Math.max(1, Number(from) - 1) };
  const head = /head\s+-n\s*-(\d+)/.exec(script)?.[1];
  if (head !== undefined && /rm\b/.test(script)) return { limit: Number(head) };
  return undefined;
}

/** Words that a script may have besides tar without meaning anything for a schedule. */
const HARMLESS =
  /^(set|echo|printf|mkdir|ls|find|xargs|rm|head|tail|sort|date|cd|test|\[|true|exit|trap|export|sleep|cat|local|if|then|fi|else|for|do|done)$/;

export function scheduleFromCronJob(job: CronJob, options: ImportOptions): Translation {
  const untranslated: string[] = [];
  const { spec = {} } = job;
  const jobSpec = spec.jobTemplate?.spec ?? {};
  const pod = jobSpec.template?.spec ?? {};
  const [container = {}, ...others] = [...(pod.containers ?? [])].sort(
    (a, b) => Number(runsTar(b)) - Number(runsTar(a)),
  );
  const script = [...(container.command ?? []), ...(container.args ?? [])].join('\n');
  const commands = commandsOf(container);
  const call = commands.map(tarCall).find((found) => found !== undefined);
  if (!call) untranslated.push('No container runs tar with the option c: what it backs up is not known.');
  untranslated.push(...(call?.problems ?? []));
  for (const [word = ''] of commands)
    if (
      !HARMLESS.test(word) &&
      !/(^|\/)(g?tar|bsdtar|sh|bash|ash)$/.test(word) &&
      !word.includes('=') &&
      word !== ''
    )
      untranslated.push(
        `The script also runs ${word}: a schedule does not. A dump stays a CronJob of its own; spec.copies replaces an upload.`,
      );
  for (const { name } of others) untranslated.push(`The container ${name} is left out.`);
  for (const { name } of pod.initContainers ?? [])
    untranslated.push(`The init container ${name} is left out.`);
  if (container.env?.length || container.envFrom?.length)
    untranslated.push('The environment of the container is left out.');

  const source = locate(call?.source, container, pod);
  const output = call?.output === undefined ? undefined : path.posix.dirname(call.output);
  const destination = locate(output, container, pod);
  const claim = options.claim ?? source.claim;
  if (claim === undefined)
    untranslated.push(
      `The source ${call?.source ?? ''} is not on a claim that the pod mounts. Replace CLAIM, or pass --claim.`,
    );
  const retention = retentionOf(script);
  if (!retention)
    untranslated.push(
      'How many archives to keep is not said as known scripts say it: the newest 7 are kept.',
    );
  if (spec.concurrencyPolicy === 'Allow')
    untranslated.push('Runs never overlap: concurrencyPolicy Allow becomes Forbid.');
  const [format] = [call?.format ?? (call?.output?.endsWith('.zst') ? 'zstd' : 'gzip')];

  const sameClaim = destination.claim !== undefined && destination.claim === claim;
  const given = {
    ...options,
    destinationClaim: options.destinationClaim ?? (sameClaim ? undefined : destination.claim),
  };
  return {
    spec: {
      ...(spec.suspend && { suspend: true }),
      ...(spec.schedule && { cron: spec.schedule.replace(/^(CRON_)?TZ=\S+\s+/, '') }),
      ...(spec.timeZone && { timeZone: spec.timeZone }),
      ...(spec.startingDeadlineSeconds !== undefined && {
        startingDeadlineSeconds: spec.startingDeadlineSeconds,
      }),
      ...(spec.concurrencyPolicy === 'Replace' && { concurrencyPolicy: 'Replace' }),
      source: {
        persistentVolumeClaim: {
          claimName: claim ?? 'CLAIM',
          ...(source.path !== '' && { subPath: source.path }),
        },
        ...(call && call.exclude.length > 0 && { exclude: call.exclude }),
      },
      destination:
        destination.claim === undefined
          ? destinationOf(undefined, output, given, untranslated)
          : {
              ...(given.destinationClaim && { persistentVolumeClaim: { claimName: given.destinationClaim } }),
              path: destination.path || 'archives',
            },
      retention: retention ?? { limit: 7 },
      ...(format === 'zstd' && { compression: { format } }),
      ...(jobSpec.activeDeadlineSeconds !== undefined && {
        activeDeadlineSeconds: jobSpec.activeDeadlineSeconds,
      }),
      ...(jobSpec.backoffLimit !== undefined && { backoffLimit: jobSpec.backoffLimit }),
      ...(spec.successfulJobsHistoryLimit !== undefined && {
        successfulJobsHistoryLimit: spec.successfulJobsHistoryLimit,
      }),
      ...(spec.failedJobsHistoryLimit !== undefined && {
        failedJobsHistoryLimit: spec.failedJobsHistoryLimit,
      }),
      ...podTemplateOf(pod, container, untranslated),
    },
    untranslated,
  };
}

const runsTar = (container: Container): boolean =>
  commandsOf(container).some((words) => tarCall(words) !== undefined);

/** The commands of a container: its words, or those of the script that it passes to a shell. */
function commandsOf({ command = [], args = [] }: Container): string[][] {
  const words = [...command, ...args];
  const script = /(^|\/)(ba|a|da)?sh$/.test(words[0] ?? '')
    ? words.find((word, at) => at > 0 && !word.startsWith('-'))
    : undefined;
  return script === undefined ? [words] : shellWords(script);
}

/** The claim of a path in the container, and the path inside it. */
function locate(
  file: string | undefined,
  { volumeMounts = [] }: Container,
  { volumes = [] }: PodSpec,
): { claim: string | undefined; path: string } {
  if (file === undefined) return { claim: undefined, path: '' };
  const inside = (mountPath: string) => {
    const relative = path.posix.relative(mountPath, file);
    return relative.startsWith('..') ? undefined : relative;
  };
  const mount = volumeMounts
    .filter(({ mountPath }) => inside(mountPath) !== undefined)
    .sort((a, b) => b.mountPath.length - a.mountPath.length)[0];
  const claim = volumes.find(({ name }) => name === mount?.name)?.persistentVolumeClaim?.claimName;
  return {
    claim,
    path: mount ? path.posix.join(mount.subPath ?? '', inside(mount.mountPath)!).replace(/^\.$/, '') : '',
  };
}

function podTemplateOf(pod: PodSpec, container: Container, untranslated: string[]): { podTemplate?: object } {
  const security = { ...pod.securityContext, ...container.securityContext };
  const { runAsUser, runAsGroup, fsGroup } = security as Record<string, number | undefined>;
  if (runAsUser === 0 || (runAsUser === undefined && security['runAsNonRoot'] !== true))
    untranslated.push(
      'The container may run as root; a backup runs as the user of the pod that mounts the claim, or as spec.podTemplate says. If files belong to many users, see spec.podTemplate.elevated.',
    );
  const template = {
    ...(runAsUser && { runAsUser }),
    ...(runAsGroup && { runAsGroup }),
    ...(fsGroup !== undefined && { fsGroup }),
    ...(container.resources &&
      Object.keys(container.resources).length > 0 && { resources: container.resources }),
    ...(pod.nodeSelector && { nodeSelector: pod.nodeSelector }),
    ...(pod.affinity && { affinity: pod.affinity }),
    ...(pod.tolerations?.length && { tolerations: pod.tolerations }),
    ...(pod.priorityClassName && { priorityClassName: pod.priorityClassName }),
  };
  return Object.keys(template).length > 0 ? { podTemplate: template } : {};
}
