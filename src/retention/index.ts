/** Which archives stay, and why. Pure. */
export {
  type ArchiveClass,
  planRetention,
  type RetentionArchive,
  type RetentionDecision,
  type RetentionPolicy,
} from './plan.ts';
