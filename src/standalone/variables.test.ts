import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  destinationOf,
  type Environment,
  sourceOf,
  switchOf,
  VARIABLES,
  variablesPage,
  variableWarnings,
} from './variables.ts';

describe('two names of one variable', () => {
  test.each<[Environment, string | undefined, string | undefined]>([
    [{}, undefined, undefined],
    [{ KM_STATE_PATH: '/s', KM_BACKUP_DEST_PATH: '/d' }, '/s', '/d'],
    [{ KM_BACKUP_SOURCE: '/s', KM_BACKUP_DEST: '/d' }, '/s', '/d'],
    [
      { KM_STATE_PATH: '/1', KM_BACKUP_SOURCE: '/2', KM_BACKUP_DEST_PATH: '/3', KM_BACKUP_DEST: '/4' },
      '/2',
      '/4',
    ],
    [
      { KM_STATE_PATH: '/1', KM_BACKUP_SOURCE: '', KM_BACKUP_DEST_PATH: '/3', KM_BACKUP_DEST: '  ' },
      '/1',
      '/3',
    ],
  ])('%j', (env, source, destination) => {
    expect([sourceOf(env), destinationOf(env)]).toEqual([source, destination]);
  });
});

describe('warnings', () => {
  const everyName = Object.values(VARIABLES).flatMap(({ names }) => [...names]);
  test('none for the variables that there are, alone or with equal values', () => {
    expect(variableWarnings(Object.fromEntries(everyName.map((name) => [name, '/x'])))).toEqual([]);
    expect(variableWarnings({ KM_BACKUP_SOURCE: '/x/', KM_STATE_PATH: '/x' })).toEqual([]);
    expect(
      variableWarnings({ KM_BACKUP_SOURCE: '', KM_STATE_PATH: '/x', PATH: '/bin', KM_OTHER: '1' }),
    ).toEqual([]);
  });
  test.each([
    ['KM_BACKUP_RETENTION', 'KM_BACKUP_RETENTION_LIMIT'],
    ['KM_BACKUP_RETENTON_LIMIT', 'KM_BACKUP_RETENTION_LIMIT'],
    ['KM_BACKUP_DESTINATION', 'KM_BACKUP_DEST'],
    ['KM_BACKUP_INTERVAL', 'KM_BACKUP_INTERVAL_MINUTES'],
    ['KM_BACKUP_ENABLE', 'KM_BACKUP_ENABLED'],
  ])('%s is named, with what may be meant', (name, meant) => {
    expect(variableWarnings({ [name]: '1' })).toEqual([
      `${name} is not a variable of km-backup and has no effect: did you mean ${meant}?`,
    ]);
  });
  test('one that resembles nothing is named with those that there are', () => {
    const [warning] = variableWarnings({ 'KM_BACKUP_\u001bCOMPRESSION': 'zstd' });
    expect(warning).toMatch(/^KM_BACKUP_\\u001bCOMPRESSION is not a variable/);
    expect(warning).toContain(everyName.join(', '));
  });
  test('two names with different values', () => {
    expect(variableWarnings({ KM_BACKUP_DEST: '/a', KM_BACKUP_DEST_PATH: '/b' })).toEqual([
      'KM_BACKUP_DEST and KM_BACKUP_DEST_PATH are both set and differ: KM_BACKUP_DEST takes precedence',
    ]);
  });
  test('what Kubernetes sets for a Service of that name is left alone', () => {
    const env = {
      KM_BACKUP_OPERATOR_SERVICE_HOST: '10.0.0.1',
      KM_BACKUP_OPERATOR_SERVICE_PORT: '8080',
      KM_BACKUP_OPERATOR_SERVICE_PORT_HTTP: '8080',
      KM_BACKUP_OPERATOR_PORT: 'tcp://10.0.0.1:8080',
      KM_BACKUP_OPERATOR_PORT_8080_TCP: 'tcp://10.0.0.1:8080',
      KM_BACKUP_OPERATOR_PORT_8080_TCP_ADDR: '10.0.0.1',
    };
    expect(variableWarnings(env)).toEqual([]);
  });
});

test('a switch is true, false or a problem', () => {
  expect(
    ['Yes', 'off', ' ', 'maybe'].map((value) => switchOf({ KM_BACKUP_ALLOW_EMPTY: value }, 'allowEmpty')),
  ).toEqual([true, false, false, { problem: 'KM_BACKUP_ALLOW_EMPTY="maybe": must be true or false' }]);
});

test('docs/standalone.md shows the table', () => {
  const page = readFileSync(path.join(import.meta.dirname, '../../docs/standalone.md'), 'utf8');
  expect(page).toContain(variablesPage());
});
