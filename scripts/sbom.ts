/**
 * Prints the bill of materials of a release (CycloneDX): the npm packages that the bundles and the image hold, not those
 * that only build and test. The Debian packages of the image are listed in it (`/var/lib/dpkg/status.d`), where scanners
 * look.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { EXTERNAL_PACKAGES } from './build.ts';

const ROOT = join(import.meta.dirname, '..');
const PROGRAM = 'km-backup-operator';

interface Component {
  readonly 'bom-ref': string;
  readonly name: string;
  readonly version: string;
  readonly group?: string;
}

interface Bill {
  readonly metadata: { readonly component: Component };
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

/** `name version` of all that is shipped. */
function shipped(): Set<string> {
  const licenses = readFileSync(join(ROOT, 'dist/licenses.txt'), 'utf8');
  const bundled = [...licenses.matchAll(/^(\S+ \d\S*) \(.*\)$/gm)].map(([, found]) => found!);
  const native = readdirSync(join(ROOT, 'node_modules/@koromix')).map((name) => `@koromix/${name}`);
  const whole = ['node', ...EXTERNAL_PACKAGES, ...native].map((name) => {
    const file = join(ROOT, 'node_modules', name, 'package.json');
    const { version } = JSON.parse(readFileSync(file, 'utf8')) as { version: string };
    return `${name} ${version}`;
  });
  return new Set([...bundled, ...whole]);
}

export function billOfMaterials(): Bill {
  const flags = ['sbom', '--sbom-format', 'cyclonedx', '--sbom-type', 'application'];
  const all = JSON.parse(
    execFileSync('npm', flags, { cwd: ROOT, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 }),
  ) as Bill;
  const wanted = shipped();
  const nameOf = ({ group, name, version }: Component) => `${group ? `${group}/` : ''}${name} ${version}`;
  const components = all.components.filter((component) => wanted.has(nameOf(component)));
  const missing = [...wanted].filter((name) => !components.some((component) => nameOf(component) === name));
  if (missing.length > 0) throw new Error(`npm does not list what is shipped: ${missing.join(', ')}`);
  const refs = new Set(components.map((component) => component['bom-ref']));
  const isKept = (ref: string) => refs.has(ref) || ref.startsWith(`${PROGRAM}@`);
  // npm takes the name of the folder.
  const component = { ...all.metadata.component, name: PROGRAM };
  return {
    ...all,
    metadata: { ...all.metadata, component },
    components,
    dependencies: all.dependencies
      .filter(({ ref }) => isKept(ref))
      .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter(isKept) })),
  };
}

if (import.meta.main) console.log(JSON.stringify(billOfMaterials(), null, 2));
