import { readFileSync } from 'node:fs';
import { ArchiveError } from '../../archive/index.ts';
import { printable } from '../../log/printable.ts';

/** Node.js replaces bytes that are not UTF-8 with this. It is also a valid character in its own right. */
const REPLACEMENT = '\ufffd';

/**
 * Refuses arguments and variables that are not UTF-8: Node.js alters them, so a run would look for the wrong file.
 * @throws {ArchiveError} Usage when there is one. The message shows its bytes.
 */
export function refuseOtherEncodings(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): void {
  if (argv.some((argument) => argument.includes(REPLACEMENT))) {
    for (const argument of originals('/proc/self/cmdline').slice(-argv.length)) {
      if (!isText(argument)) throw refused(`The argument ${printable(argument)}`);
    }
  }
  const used = (name: string) => name.startsWith('KM_');
  if (Object.entries(env).some(([name, value]) => used(name) && value?.includes(REPLACEMENT))) {
    for (const variable of originals('/proc/self/environ')) {
      if (used(variable.toString('latin1')) && !isText(variable))
        throw refused(`The variable ${printable(variable)}`);
    }
  }
}

/** The NUL-terminated strings of a file in /proc, unaltered. */
function originals(file: string): Buffer[] {
  const bytes = readFileSync(file);
  const found: Buffer[] = [];
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(0, start);
    if (end === -1) break;
    found.push(bytes.subarray(start, end));
    start = end + 1;
  }
  return found;
}

function isText(bytes: Buffer): boolean {
  return Buffer.from(bytes.toString('utf8'), 'utf8').equals(bytes);
}

function refused(what: string): ArchiveError {
  return new ArchiveError(
    'Usage',
    `${what} is not valid UTF-8. Name the folder above it, or reach it through a symlink whose name is UTF-8. File names inside the source and inside archives may be any bytes.`,
  );
}
