import { RESTORE_STATE_NAME } from '../format/names.ts';

/** Names directly below a mount point that belong to the file system or to the restore, not to the tree. */
export function isKeptName(name: string): boolean {
  return name === RESTORE_STATE_NAME || name === 'lost+found';
}
