import { buildPrograms } from '../../scripts/build.ts';

/** Builds the programs before tests that start bin/km-backup: what users run, and five times as fast to start. */
export default buildPrograms;
