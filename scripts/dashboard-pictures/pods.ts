/** Runs the pods of Jobs on this machine, each with the real km-backup: claims are folders, the clock is stepped. */
import { execFile, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import type { V1Pod } from '@kubernetes/client-node';
import type { StubReport } from '../../test/support/stub-kubelet.ts';

const PROGRAM = path.join(import.meta.dirname, '../../bin/km-backup');
/** The user of the Jobs. Root would read files that it cannot. */
const USER = 65_532;

const shifted = (offsetMs: number) => `
const Real = Date;
globalThis.Date = class extends Real {
  constructor(...parts) { parts.length ? super(...parts) : super(Real.now() + ${offsetMs}); }
  static now() { return Real.now() + ${offsetMs}; }
};`;

export class Pods {
  readonly #root: string;
  readonly #offsetMs: () => number;
  readonly #drop: readonly string[];

  constructor(root: string, offsetMs: () => number) {
    this.#root = root;
    this.#offsetMs = offsetMs;
    const isRoot = process.getuid?.() === 0;
    this.#drop = isRoot ? ['setpriv', `--reuid=${USER}`, `--regid=${USER}`, '--clear-groups', '--'] : [];
  }

  /** The folder of a claim, which the user of the Jobs owns. */
  claim(namespace: string, name: string): string {
    const folder = path.join(this.#root, namespace, name);
    fs.mkdirSync(folder, { recursive: true });
    if (this.#drop.length > 0) spawnSync('chown', ['-R', `${USER}:${USER}`, folder]);
    return folder;
  }

  /** Runs the only container of a pod to its end. */
  async run({ metadata, spec }: V1Pod): Promise<StubReport> {
    const [container] = spec!.containers;
    const scratch = this.claim('scratch', metadata!.uid!);
    const termination = path.join(scratch, 'termination-log');
    const folders = (container!.volumeMounts ?? []).map(({ name, mountPath }) => {
      const volume = spec!.volumes!.find((one) => one.name === name)!;
      const claim = volume.persistentVolumeClaim?.claimName;
      const folder = claim
        ? this.claim(metadata!.namespace!, claim)
        : this.claim('scratch', `${metadata!.uid}/${name}`);
      return [mountPath, folder] as const;
    });
    const args = container!.args!.map((arg) =>
      folders.reduce(
        (text, [mount, folder]) => text.replace(new RegExp(`(^|=|dir:)${mount}(?=/|$)`), `$1${folder}`),
        arg.replace('/dev/termination-log', termination),
      ),
    );
    const [program, ...rest] = [...this.#drop, PROGRAM, ...args];
    const { PATH } = process.env;
    const clock = `--import=data:text/javascript,${encodeURIComponent(shifted(this.#offsetMs()))}`;
    const env = { PATH, HOME: scratch, TMPDIR: scratch, NODE_OPTIONS: clock };
    const code = await promisify(execFile)(program!, rest, { env }).then(
      () => 0,
      (error) => error.code as number,
    );
    const result = JSON.parse(fs.readFileSync(termination, 'utf8'));
    fs.rmSync(scratch, { recursive: true });
    return { exitCode: code, result };
  }
}
