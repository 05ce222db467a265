import { buildPrograms } from '../../scripts/build.ts';

/** Before tests that start bin/km-backup: they test what users run, and start it in a fifth of the time. */
export default buildPrograms;
