import { ArchiveError } from '../errors.ts';

export function invalid(path: string, what: string, cause?: unknown): ArchiveError {
  return new ArchiveError(
    'ManifestInvalid',
    `${path}: not a valid manifest: ${what}. The archive itself may still be good: tar reads it without the manifest.`,
    { cause },
  );
}
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export const isCount = (value: unknown): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0;
export const isHex = (value: unknown): value is string =>
  typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
