import { tryCall } from './libc.ts';
import { SystemError } from './system-error.ts';

const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/** A run of data. The offset counts bytes from the start of the file. */
export type Extent = { readonly offset: number; readonly length: number };

/**
 * Finds the data of an open file. Between its extents are holes, which read as zeros. Moves the file offset.
 *
 * @returns One extent for the whole file if the file system does not report holes.
 */
export function dataExtents(fd: number, size: number): Extent[] {
  const extents: Extent[] = [];
  let position = 0;
  while (position < size) {
    const data = seek(fd, position, SEEK_DATA);
    if (data === 'none') break;
    if (data === 'unsupported') return [{ offset: 0, length: size }];
    const hole = seek(fd, data, SEEK_HOLE);
    const end = Math.min(typeof hole === 'number' ? hole : size, size);
    if (data >= end) break;
    extents.push({ offset: data, length: end - data });
    position = end;
  }
  return extents;
}

function seek(fd: number, from: number, whence: number): number | 'none' | 'unsupported' {
  const answer = tryCall('lseek', fd, from, whence);
  if ('result' in answer) return answer.result;
  const error = new SystemError('lseek', answer.errno);
  if (error.code === 'ENXIO') return 'none';
  if (error.code === 'EINVAL' || error.code === 'ENOTSUP') return 'unsupported';
  throw error;
}
