import { run } from '../cluster/process.ts';

/** A Kubernetes object as JSON. Tests read the fields they need. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly creationTimestamp?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly ownerReferences?: readonly {
      readonly kind: string;
      readonly name: string;
      readonly uid: string;
    }[];
  };
  // biome-ignore lint/suspicious/noExplicitAny: the shape differs by kind, and a wrong guess fails the test
  readonly spec?: any;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  readonly status?: any;
  readonly [key: string]: unknown;
}

const POLL_MS = 500;
/** Far longer than anything takes on a busy machine with two cores. Milliseconds. */
const PATIENCE_MS = 180_000;

/** kubectl on one cluster, in one namespace. */
export class Kubectl {
  readonly program: string;
  readonly kubeconfig: string;
  readonly namespace: string;

  constructor(program: string, kubeconfig: string, namespace: string) {
    this.program = program;
    this.kubeconfig = kubeconfig;
    this.namespace = namespace;
  }

  in(namespace: string): Kubectl {
    return new Kubectl(this.program, this.kubeconfig, namespace);
  }

  arguments(args: readonly string[]): string[] {
    return ['--kubeconfig', this.kubeconfig, '--namespace', this.namespace, ...args];
  }

  /** Runs kubectl. Resolves with its stdout, or rejects with its stderr. */
  async run(args: readonly string[], input?: string): Promise<string> {
    const { stdout } = await run(this.program, this.arguments(args), input === undefined ? {} : { input });
    return stdout;
  }

  /** Server-side apply of YAML or of objects. */
  async apply(manifest: string | readonly object[]): Promise<void> {
    const items = { apiVersion: 'v1', kind: 'List', items: manifest };
    const text = typeof manifest === 'string' ? manifest : JSON.stringify(items);
    await this.run(['apply', '--server-side', '--force-conflicts', '-f', '-'], text);
  }

  async create(object: object): Promise<KubeObject> {
    return JSON.parse(await this.run(['create', '-o', 'json', '-f', '-'], JSON.stringify(object)));
  }

  async get(kind: string, name: string): Promise<KubeObject> {
    return JSON.parse(await this.run(['get', kind, name, '-o', 'json']));
  }

  async list(kind: string, ...selector: string[]): Promise<KubeObject[]> {
    return JSON.parse(await this.run(['get', kind, ...selector, '-o', 'json'])).items;
  }

  /** Runs a program in a pod. Resolves with its stdout. */
  async exec(pod: string, command: readonly string[], input?: string): Promise<string> {
    return this.run(['exec', ...(input === undefined ? [] : ['-i']), pod, '--', ...command], input);
  }

  /** Resolves with the object once `holds` returns true. Rejects with its last state after `timeoutMs`. */
  async until(
    kind: string,
    name: string,
    holds: (object: KubeObject) => boolean,
    timeoutMs = PATIENCE_MS,
  ): Promise<KubeObject> {
    return eventually(
      () => this.get(kind, name),
      holds,
      (last) =>
        `${kind}/${name} in ${this.namespace}; its last state: ${JSON.stringify(last?.status ?? last)}`,
      timeoutMs,
    );
  }
}

/** Calls `ask` until `holds` returns true for its value, and resolves with that. Also repeats it if it rejects. */
export async function eventually<T>(
  ask: () => Promise<T>,
  holds: (value: T) => boolean,
  describe: (last: T | undefined) => string,
  timeoutMs = PATIENCE_MS,
): Promise<T> {
  const end = performance.now() + timeoutMs;
  let last: T | undefined;
  let error: unknown;
  for (;;) {
    try {
      last = await ask();
      error = undefined;
      if (holds(last)) return last;
    } catch (reason) {
      error = reason;
    }
    if (performance.now() > end) {
      throw new Error(`waited ${timeoutMs / 1000} s for ${describe(last)}`, { cause: error });
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
