/**
 * Run by `npm ci`: builds the programs. Skipped where the Node.js of package.json or the bundler is not installed
 * (`--ignore-scripts`, `--omit=dev`); bin/ then runs the sources. Plain JavaScript, as bootstrap.mjs is.
 */
const [major] = process.versions.node.split('.');
const bundler = await import('rolldown').catch(() => undefined);
if (Number(major) < 26 || !bundler) {
  console.log('The programs are not built: that takes Node.js 26 and the development dependencies.');
} else {
  const { buildPrograms } = await import('./build.ts');
  await buildPrograms();
}
