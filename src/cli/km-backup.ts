import { main } from './km-backup/main.ts';

process.exitCode = await main(process.argv.slice(2), process.env);
