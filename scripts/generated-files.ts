import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { Registry } from 'prom-client';
import { stringify } from 'yaml';
import { customResourceDefinition, RESOURCES } from '../src/api/crd.ts';
import { GROUP } from '../src/api/names.ts';
import { programFor, SUBCOMMANDS } from '../src/cli/km-backup/commands.ts';
import type { CliContext } from '../src/cli/km-backup/context.ts';
import {
  SUBCOMMANDS as PLUGIN_COMMANDS,
  programFor as pluginProgramFor,
} from '../src/cli/kubectl-km/commands.ts';
import type { PluginContext } from '../src/cli/kubectl-km/context.ts';
import { operatorCommand } from '../src/cli/operator/arguments.ts';
import { crdsCommand } from '../src/cli/operator/crds.ts';
import { operatorMetrics } from '../src/cli/operator/self-metrics.ts';
import { backupMetricsPage, renderMetricsPage } from '../src/metrics/index.ts';
import { chartValuesPage } from './chart-values.ts';
import { crdReferencePage } from './crd-reference.ts';
import { dashboards } from './dashboards/index.ts';
import { installManifest } from './install-manifest.ts';
import { mcpPage } from './mcp-page.ts';
import { linterOverrides, roomsTable } from './rooms.ts';
import { withSections } from './sections.ts';
import { shapesFile } from './shapes.ts';
import { troubleshootingPage } from './troubleshooting.ts';

const ROOT = join(import.meta.dirname, '..');
const CHART = join(ROOT, 'charts/km-backup-operator');
const BANNER = '# Generated from src/api by "npm run generate". Do not edit.\n';

/** Every generated file of the repository: path from its root -> content. */
export async function generatedFiles(): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const resource of RESOURCES) {
    const yaml =
      BANNER + stringify(customResourceDefinition(resource), { lineWidth: 0, aliasDuplicateObjects: false });
    const name = `${GROUP}_${resource.plural}.yaml`;
    files.set(`crds/${name}`, yaml);
    files.set(`charts/km-backup-operator/crds/${name}`, yaml);
  }
  files.set('src/api/shapes.json', shapesFile());
  files.set('docs/api-reference.md', crdReferencePage(RESOURCES));
  const chartFile = (name: string) => readFileSync(join(CHART, name), 'utf8');
  files.set('docs/cli.md', await cliPage());
  files.set('docs/operator-cli.md', operatorCliPage());
  files.set('docs/kubectl-plugin.md', await pluginPage());
  const troubleshooting = 'docs/troubleshooting.md';
  files.set(troubleshooting, troubleshootingPage(readFileSync(join(ROOT, troubleshooting), 'utf8')));
  files.set('docs/mcp.md', mcpPage(readFileSync(join(ROOT, 'docs/mcp.md'), 'utf8')));
  files.set('docs/metrics.md', backupMetricsPage());
  files.set(
    'docs/chart-values.md',
    chartValuesPage(chartFile('values.yaml'), chartFile('values.schema.json')),
  );
  for (const [name, content] of dashboards())
    files.set(`charts/km-backup-operator/dashboards/${name}`, content);
  const crds = [...files].filter(([path]) => path.startsWith('crds/')).map(([, content]) => content);
  files.set('deploy/install.yaml', await installManifest(crds));
  files.set('biome.json', linterConfiguration());
  files.set('ARCHITECTURE.md', architecturePage());
  return files;
}

/** biome.json with its import rules made from the rooms; the rest of it is written by hand. */
function linterConfiguration(): string {
  const written = JSON.parse(readFileSync(join(ROOT, 'biome.json'), 'utf8'));
  const config = { ...written, overrides: linterOverrides() };
  const biome = join(ROOT, 'node_modules/.bin/biome');
  return execFileSync(biome, ['format', '--stdin-file-path=biome.json'], {
    cwd: ROOT,
    input: JSON.stringify(config, null, 2),
    encoding: 'utf8',
  });
}

/** ARCHITECTURE.md with its table of rooms. */
function architecturePage(): string {
  const page = readFileSync(join(ROOT, 'ARCHITECTURE.md'), 'utf8');
  const [before, after] = [page.indexOf('| Room of `src/` |'), page.search(/\n\n(?=Imports point down)/)];
  if (before < 0 || after < before) throw new Error('ARCHITECTURE.md has lost its table of rooms');
  return page.slice(0, before) + roomsTable() + page.slice(after);
}

async function cliPage(): Promise<string> {
  const context: CliContext = { env: {}, signal: new AbortController().signal, exitCode: 0 };
  const program = await programFor([], context);
  const sections = [helpBlock(program)];
  for (const name of Object.keys(SUBCOMMANDS)) {
    const { commands } = await programFor([name], context);
    sections.push(`## ${name}\n\n${helpBlock(commands[0]!)}`);
  }
  return `# km-backup

<!-- Generated from src/cli/km-backup by "npm run generate". Do not edit. -->

What each exit status means: [Troubleshooting](troubleshooting.md#exit-codes-of-km-backup).

${sections.join('\n\n')}
`;
}

/** docs/kubectl-plugin.md with its commands; the rest of it is written by hand. */
async function pluginPage(): Promise<string> {
  const context: PluginContext = { env: {}, signal: new AbortController().signal, exitCode: 0, onEnd: [] };
  const sections = [helpBlock(await pluginProgramFor([], context))];
  for (const name of Object.keys(PLUGIN_COMMANDS)) {
    const { commands } = await pluginProgramFor([name], context);
    sections.push(`### ${name}\n\n${helpBlock(commands[0]!)}`);
  }
  const page = readFileSync(join(ROOT, 'docs/kubectl-plugin.md'), 'utf8');
  return withSections(page, { commands: sections.join('\n\n') });
}

function helpBlock(command: Command): string {
  let text = '';
  command.configureOutput({ writeOut: (part) => (text += part), getOutHelpWidth: () => 110 }).outputHelp();
  return `\`\`\`\n${text.trimEnd()}\n\`\`\``;
}

function operatorCliPage(): string {
  const all = new Registry();
  operatorMetrics(all).watchOperator({ leading: () => true, limiter: { running: 0, waiting: 0 } });
  const own = new Registry();
  for (const metric of all.getMetricsAsArray()) {
    const known = all.getSingleMetric(metric.name);
    if (known && metric.name.startsWith('km_operator_')) own.registerMetric(known);
  }
  return `# km-backup-operator

<!-- Generated from src/cli/operator by "npm run generate". Do not edit. -->

The chart sets these by its [values](chart-values.md). \`POD_NAME\` and \`POD_NAMESPACE\` come by the downward API.

${helpBlock(operatorCommand())}

## crds

${helpBlock(crdsCommand())}

## What it measures of itself

In addition to the [metrics of backups](metrics.md) and those of Node.js (\`process_*\`, \`nodejs_*\`):

${renderMetricsPage(own)}`;
}
