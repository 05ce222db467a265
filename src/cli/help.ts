import { Help, Option } from 'commander';

/** Hides defaults that say nothing: a flag that is off, a list that is empty. */
export const HELP: Partial<Help> = {
  optionDescription(option: Option): string {
    const { flags, description, defaultValue } = option;
    const says = defaultValue !== false && !(Array.isArray(defaultValue) && defaultValue.length === 0);
    return new Help().optionDescription(says ? option : new Option(flags, description));
  },
};
