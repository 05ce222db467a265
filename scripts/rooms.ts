/**
 * The rooms of `src/` and what each may import. From this table come the import rules of biome.json and the table in
 * ARCHITECTURE.md. test/unit/rooms.test.ts checks the sources against it.
 */
export interface Room {
  /** Folder below `src/`. */
  readonly path: string;
  readonly what: string;
  /** Rooms it may import, or single files of one; a room includes its wings only through its door. */
  readonly imports: readonly string[];
  /** npm packages it may import. */
  readonly packages?: readonly string[];
  /** Imports nothing that does I/O or reads a clock: takes values, and `now` as one of them. */
  readonly pure?: true;
  /** The only file that other rooms may import. */
  readonly door?: string;
}

const ARCHIVE_ERRORS = 'archive/errors.ts';
/** Escaping of text for people, without the logger. */
const PRINTABLE = 'log/printable.ts';
const UNITS = 'log/units.ts';

/** What the operator reads of a cluster, and what it makes of it: pure, or without a process of its own. */
const OPERATOR_VIEWS = [
  'operator/resources.ts',
  'operator/workloads.ts',
  'operator/backup/outcome.ts',
  'operator/backup/placement.ts',
  'operator/backup/identity.ts',
  'operator/backup/events.ts',
  'operator/drill/new-drill.ts',
  'operator/location/access.ts',
] as const;

/** From the bottom up: a room imports only rooms that are listed before it. */
export const ROOMS: readonly Room[] = [
  { path: 'clock', what: 'the one source of time, and a fake one for tests', imports: [] },
  { path: 'log', what: 'structured logs, and text made safe to print', imports: [], packages: ['pino'] },
  { path: 'trace', what: 'OpenTelemetry traces: spans, and the exporter', imports: ['clock'] },
  { path: 'metrics', what: 'the metrics of backups', imports: [], packages: ['prom-client'] },
  { path: 'health', what: 'health checks, and the HTTP server of health and metrics', imports: ['clock'] },
  {
    path: 'schedule',
    what: 'cron and interval arithmetic: next, due, missed',
    imports: [],
    packages: ['cron-parser'],
    pure: true,
  },
  { path: 'retention', what: 'which archives to keep, and why', imports: [], pure: true },
  {
    path: 'api',
    what: 'resource types as zod schemas, from which types, CRDs and the reference page come; reasons; the run result',
    imports: ['schedule', 'retention'],
    packages: ['zod'],
    pure: true,
  },
  {
    path: 'overview',
    what: 'the state of all backups, the worst first: for a page, a plugin and an assistant',
    imports: ['api', 'schedule', 'retention'],
    pure: true,
  },
  {
    path: 'page',
    what: 'the status page: HTML of an overview, and the same as JSON',
    imports: ['overview', 'health', PRINTABLE, UNITS],
    pure: true,
  },
  {
    path: 'posix',
    what: 'what Node.js lacks: locks, renameat2, holes, xattrs, nanosecond times',
    imports: [PRINTABLE],
    packages: ['koffi'],
  },
  {
    path: 'archive/format',
    what: 'names, tar reader and writer, members, manifest, compression',
    imports: [ARCHIVE_ERRORS, PRINTABLE, 'posix'],
    packages: ['koffi', 'libdeflate', 'zod'],
  },
  {
    path: 'archive/destination',
    what: 'inventory, lock, prune, the growing file',
    imports: [ARCHIVE_ERRORS, 'archive/format', 'posix', 'retention'],
  },
  {
    path: 'archive/pool',
    what: 'a pool of worker threads, for any kind of job',
    imports: [ARCHIVE_ERRORS, 'posix'],
  },
  {
    path: 'archive/verify',
    what: 'whether an archive is sound',
    imports: [ARCHIVE_ERRORS, 'archive/format', 'archive/destination', 'archive/pool', 'posix'],
  },
  {
    path: 'archive/create',
    what: 'walk a source, pack it, reuse what did not change, name the archive',
    imports: [
      ARCHIVE_ERRORS,
      'archive/format',
      'archive/destination',
      'archive/pool',
      'archive/verify/jobs.ts',
      'posix',
      'retention',
      'api',
    ],
  },
  {
    path: 'archive/restore',
    what: 'stage, swap, roll back; extract; list entries',
    imports: [ARCHIVE_ERRORS, 'archive/format', 'archive/destination', 'archive/pool', 'posix', UNITS],
    packages: ['zod'],
  },
  {
    path: 'archive/diff',
    what: 'what differs between two archives; the history of a file',
    imports: [
      ARCHIVE_ERRORS,
      'archive/format',
      'archive/destination',
      'archive/create/patterns.ts',
      'archive/restore/compare-entry.ts',
      'archive/restore/extract-plan.ts',
      'archive/restore/list-entries.ts',
    ],
  },
  {
    path: 'archive/guard',
    what: 'whether a new archive is suspicious, compared with the one before it',
    imports: [
      ARCHIVE_ERRORS,
      'archive/format',
      'archive/destination',
      'archive/create/create.ts',
      'archive/diff',
      UNITS,
    ],
  },
  {
    path: 'archive',
    what: '`errors.ts`, which all wings share; `worker.ts`, the entry of worker threads',
    imports: [
      'archive/format',
      'archive/destination',
      'archive/pool',
      'archive/verify',
      'archive/create',
      'archive/restore',
      'archive/diff',
      'archive/guard',
      'posix',
      'api',
    ],
    door: 'archive/index.ts',
  },
  {
    path: 'offsite',
    what: 'copies in a bucket or a directory: packs, lists, age, copy, fetch, prune. No Kubernetes',
    imports: ['archive', 'retention', 'posix', 'clock'],
    packages: ['@aws-sdk/client-s3', '@smithy/node-http-handler', 'age-encryption'],
    door: 'offsite/index.ts',
  },
  {
    path: 'notify',
    what: 'tells webhooks and monitors how a run goes. No Kubernetes',
    imports: ['api', 'posix', 'clock'],
    door: 'notify/index.ts',
  },
  {
    path: 'kube',
    what: 'client, reflector, store, workqueue, lease, events. Knows nothing of backups',
    imports: ['clock', 'log'],
    packages: [
      'undici',
      'undici/lib/api/api-request.js',
      'undici/lib/dispatcher/agent.js',
      'undici/lib/web/websocket/websocket.js',
      'yaml',
    ],
  },
  {
    path: 'operator',
    what: 'observe, decide, apply for schedules and runs',
    imports: ['kube', 'overview', 'api', 'schedule', 'metrics', 'health', 'trace', 'clock', 'log'],
    packages: ['@kubernetes/client-node'],
  },
  {
    path: 'fleet',
    what: 'operations on a cluster with the rights of whoever asks: run, plan and restore, explain, read archives',
    imports: ['kube', 'api', 'overview', 'clock', 'log', ...OPERATOR_VIEWS],
  },
  {
    path: 'standalone',
    what: 'the `KM_BACKUP_*` scheduler of `km-backup serve`',
    imports: [
      'archive',
      'page',
      'overview',
      'api',
      'schedule',
      'retention',
      'posix',
      'metrics',
      'health',
      'clock',
      'log',
    ],
    packages: ['prom-client', 'zod'],
  },
  {
    path: 'mcp',
    what: 'the MCP server of `km-backup mcp`: tools for assistants, for a destination and for a cluster; approval; stdio and HTTP',
    imports: [
      'fleet',
      'standalone',
      'kube',
      'archive',
      'overview',
      'api',
      'retention',
      'posix',
      'health',
      'log',
    ],
    packages: [
      '@modelcontextprotocol/node',
      '@modelcontextprotocol/server',
      '@modelcontextprotocol/server/stdio',
      'zod',
    ],
  },
  {
    path: 'cli',
    what: 'entry points; the only place that reads the environment or exits',
    imports: [
      'operator',
      'fleet',
      'mcp',
      'standalone',
      'kube',
      'offsite',
      'notify',
      'archive',
      'page',
      'overview',
      'api',
      'retention',
      'schedule',
      'posix',
      'metrics',
      'health',
      'trace',
      'clock',
      'log',
    ],
    packages: ['commander', 'prom-client', 'yaml'],
  },
];

/** What a pure room must not import. `node:crypto` hashes values, so it is not among them. */
export const IMPURE_MODULES = [
  'node:fs',
  'node:fs/*',
  'node:child_process',
  'node:dgram',
  'node:dns',
  'node:http',
  'node:http2',
  'node:https',
  'node:net',
  'node:tls',
  'node:timers',
  'node:timers/*',
  'node:worker_threads',
] as const;

/** The room that a file belongs to: the one with the longest path. */
export function roomOf(file: string): Room | undefined {
  return ROOMS.filter(({ path }) => file.startsWith(`${path}/`)).sort(
    (a, b) => b.path.length - a.path.length,
  )[0];
}

const mayImportRoom = (room: Room, other: Room) =>
  room.path === other.path || room.imports.includes(other.path);

/** Why one file of `src/` may not import another; undefined where it may. */
export function importFault(from: string, to: string): string | undefined {
  const room = roomOf(from);
  const inner = roomOf(to);
  if (!room || !inner) return `${room ? to : from} belongs to no room: add its folder to scripts/rooms.ts`;
  // Seen from another room, a wing is part of the room that contains it.
  const [house] = inner.path.split('/');
  const other = room.path.split('/')[0] === house ? inner : ROOMS.find(({ path }) => path === house)!;
  if (room === other || room.imports.includes(to)) return undefined;
  if (!mayImportRoom(room, other))
    return `${from} imports ${to}: ${room.path}/ may not import ${other.path}/`;
  if (other.door !== undefined && to !== other.door)
    return `${from} imports ${to}: other rooms import ${other.door} only`;
  return undefined;
}

/** The import rules of biome.json: what editors show while one types. rooms.test.ts is the exact check. */
export function linterOverrides(): object[] {
  const packages = [...new Set(ROOMS.flatMap((room) => room.packages ?? []))].sort();
  return ROOMS.map((room) => {
    const parent = room.path.includes('/') ? room.path.split('/')[0] : undefined;
    const others = ROOMS.filter((other) => !mayImportRoom(room, other) && other.path !== parent);
    const folders = others
      // A wing is imported as `../format/`, by its siblings only: from elsewhere the door is all that counts.
      .filter(({ path }) => !path.includes('/') || path.startsWith(`${parent}/`))
      .map(({ path }) => `**/${path.split('/').at(-1)}/**`);
    const files = room.imports
      .filter((path) => path.endsWith('.ts') && path !== ARCHIVE_ERRORS)
      .map((path) => `!**/${path.split('/').slice(-2).join('/')}`);
    const doors = ROOMS.filter(({ path, door }) => door && path !== room.path && room.imports.includes(path));
    const patterns = [
      {
        group: [...folders, ...files],
        message: `src/${room.path}/ may not import this room: see ARCHITECTURE.md and scripts/rooms.ts.`,
      },
      ...doors.map(({ path, door }) => ({
        group: [`**/${path}/**`, `!**/${door}`],
        message: `Other rooms import src/${door} only.`,
      })),
      {
        group: packages.filter((name) => !room.packages?.includes(name)),
        message: `src/${room.path}/ does not use this package: see scripts/rooms.ts.`,
      },
      {
        group: room.pure ? IMPURE_MODULES : [],
        message: 'A pure room: no I/O; take values, and `now`, as parameters.',
      },
    ].filter(({ group }) => group.length > 0);
    const wings = ROOMS.filter(({ path }) => path.startsWith(`${room.path}/`));
    return {
      includes: [
        `src/${room.path}/**`,
        ...wings.map(({ path }) => `!src/${path}/**`),
        '!**/*.test.ts',
        '!**/testing/**',
      ],
      linter: { rules: { style: { noRestrictedImports: { level: 'error', options: { patterns } } } } },
    };
  });
}

/** The table of ARCHITECTURE.md. */
export function roomsTable(): string {
  const list = (items: readonly string[]) =>
    items.map((item) => `\`${item}${item.endsWith('.ts') ? '' : '/'}\``).join(', ') || 'nothing';
  const rows = ROOMS.toReversed().map(({ path, what, imports, pure, door }) => {
    const notes = [pure ? '. Pure' : '', door ? `. Others import \`${door}\` only` : ''].join('');
    return `| \`${path}/\` | ${what}${notes} | ${list(imports)} |`;
  });
  return ['| Room of `src/` | What is in it | May import |', '| --- | --- | --- |', ...rows].join('\n');
}
