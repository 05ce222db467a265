/** The limits of the guard, by flags or variables. */
import type { Command } from 'commander';
import { ArchiveError, type GuardLimits } from '../../archive/index.ts';
import { readVariable, type VariableKey } from '../../standalone/variables.ts';
import type { CliContext } from './context.ts';
import { percent } from './option-values.ts';

export interface GuardFlags {
  readonly guardMaxShrinkPercent?: number;
  readonly guardMaxChangePercent?: number;
}

export function addGuardOptions(command: Command): Command {
  return command
    .option(
      '--guard-max-shrink-percent <percent>',
      'suspicious if the source has this much fewer files or bytes than in the archive before (default: $KM_BACKUP_GUARD_MAX_SHRINK_PERCENT)',
      percent,
    )
    .option(
      '--guard-max-change-percent <percent>',
      'suspicious if more than this many files are gone or have other content (default: $KM_BACKUP_GUARD_MAX_CHANGE_PERCENT)',
      percent,
    );
}

/** @returns Undefined if there is no guard. @throws {ArchiveError} Usage when a variable is not a percentage. */
export function guardLimits(flags: GuardFlags, { env }: Pick<CliContext, 'env'>): GuardLimits | undefined {
  const fromVariable = (key: VariableKey): number | undefined => {
    const found = readVariable(env, key);
    if (!found) return undefined;
    try {
      return percent(found.value.trim());
    } catch {
      throw new ArchiveError('Usage', `${found.name} must be a whole number from 1 to 100.`);
    }
  };
  const maxShrinkPercent = flags.guardMaxShrinkPercent ?? fromVariable('guardMaxShrinkPercent');
  const maxChangePercent = flags.guardMaxChangePercent ?? fromVariable('guardMaxChangePercent');
  if (maxShrinkPercent === undefined && maxChangePercent === undefined) return undefined;
  return { maxShrinkPercent, maxChangePercent };
}
