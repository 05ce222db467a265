import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Kubectl } from '../support/kubectl.ts';
import { restrictedNamespace } from './context.ts';

const folder = join(import.meta.dirname, '../../deploy/examples');
const examples = readdirSync(folder).filter((name) => name.endsWith('.yaml'));

let kubectl: Kubectl;
let remove: () => Promise<void>;
beforeAll(async () => {
  ({ kubectl, remove } = await restrictedNamespace('examples'));
});
afterAll(() => remove?.());

describe('every example', () => {
  it('is found', () => expect(examples.length).toBeGreaterThan(3));

  it.each(examples)('%s is accepted by the API server in a restricted namespace', async (name) => {
    const text = readFileSync(join(folder, name), 'utf8');
    const options = ['--dry-run=server', '--validate=strict', '-o', 'name', '-f', '-'];
    await expect(kubectl.run(['create', ...options], text)).resolves.toMatch(/\S/);
  });
});
