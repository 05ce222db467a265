import packageJson from '../../package.json' with { type: 'json' };
import { keepCompiledCode } from './compile-cache.ts';

const argv = process.argv.slice(2);
if (argv.length === 1 && (argv[0] === '--version' || argv[0] === '-V')) {
  // Loading the commands would take as long again.
  process.stdout.write(`${packageJson.version}\n`);
} else {
  keepCompiledCode(process.env);
  const { main } = await import('./km-backup/main.ts');
  process.exitCode = await main(argv, process.env);
}
