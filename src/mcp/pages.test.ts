import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { PAGES } from './pages.ts';

test.each(Object.keys(PAGES))('docs/%s exists', (page) => {
  expect(fs.existsSync(path.join(import.meta.dirname, '../../docs', page))).toBe(true);
});
