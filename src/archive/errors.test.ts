import { expect, test } from 'vitest';
import { ArchiveError, ExitCode, writeError } from './errors.ts';

const system = (code: string) => Object.assign(new Error(`${code}: it failed`), { code });

test.each([
  ['ENOSPC', 'NoSpace', ExitCode.final, /no space left/],
  ['EDQUOT', 'NoSpace', ExitCode.final, /no space left/],
  ['EIO', 'WriteFailed', ExitCode.failure, /writing failed \(EIO\)/],
  ['EROFS', 'DestinationUnusable', ExitCode.failure, /Check the mount/],
  ['EACCES', 'DestinationUnusable', ExitCode.failure, /permissions/],
])('%s while writing is %s', (code, reason, exitCode, message) => {
  const error = writeError(system(code), '/d/file');
  expect([error.reason, error.exitCode]).toEqual([reason, exitCode]);
  expect(error.message).toMatch(message);
  expect(error.message).toContain('/d/file');
});

test('keeps an ArchiveError as it is; an error that is not a system error is internal', () => {
  const told = new ArchiveError('Locked', 'busy');
  expect(writeError(told, 'x')).toBe(told);
  expect(writeError(new TypeError('oops'), 'x')).toMatchObject({ reason: 'Internal' });
});
