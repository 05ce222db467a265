import { expect, test } from 'vitest';
import { codeOf, isSystemError, SystemError } from './system-error.ts';

const nodeError = (code: string, errno: number) => Object.assign(new Error('it failed'), { code, errno });

test.each([
  ['one that Node names', nodeError('ENOSPC', -28), 'ENOSPC'],
  ['one that Node has no name for', nodeError('UNKNOWN', -122), 'EDQUOT'],
  ['one that nobody has a name for', nodeError('UNKNOWN', -9999), 'E9999'],
  ['one of ours', new SystemError('statx', 122, 'a'), 'EDQUOT'],
  ['no system error', new TypeError('oops'), undefined],
  ['no error', 'ENOSPC', undefined],
])('the code of %s', (_, error, code) => {
  expect(codeOf(error)).toBe(code);
});

test.each([
  [nodeError('EIO', -5), true],
  [nodeError('UNKNOWN', -122), true],
  [Object.assign(new Error('it failed'), { code: 'ERR_OUT_OF_RANGE' }), false],
  [new Error('it failed'), false],
])('whether the kernel gave %s', (error, system) => {
  expect(isSystemError(error)).toBe(system);
});
