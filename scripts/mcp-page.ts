/** The generated parts of docs/mcp.md: the tools, as the server describes them. */
import type { z } from 'zod';
import type { Caller } from '../src/mcp/cluster/caller.ts';
import { clusterTools } from '../src/mcp/cluster/service.ts';
import { localService } from '../src/mcp/local/service.ts';
import { localSettings } from '../src/mcp/local/settings.ts';
import type { Tool } from '../src/mcp/tool.ts';
import { table, withSections } from './sections.ts';

export function mcpPage(page: string): string {
  const settings = localSettings({ KM_BACKUP_SOURCE: '/data' }, [], () => new Date(0));
  return withSections(page, {
    tools: toolsTable(localService(settings).tools),
    // Describing a tool asks no cluster.
    'cluster-tools': toolsTable(clusterTools({ namespace: 'default' } as Caller)),
  });
}

const words = { reads: 'reads', adds: 'adds', destroys: 'destroys, once a person approved' } as const;

function toolsTable(tools: readonly Tool[]): string {
  return table(
    ['Tool', 'What it does', 'Input', 'Effect'],
    tools.map(({ name, description, input, effect }) => [
      `\`${name}\``,
      description,
      inputsOf(input).join(', ') || '-',
      words[effect],
    ]),
  );
}

function inputsOf(input: z.ZodObject): string[] {
  return Object.entries(input.shape).map(([name, field]) => {
    const isOptional = (field as z.ZodType).safeParse(undefined).success;
    return `\`${name}\`${isOptional ? '' : ' (required)'}`;
  });
}
