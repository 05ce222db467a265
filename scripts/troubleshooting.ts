/** The tables of docs/troubleshooting.md, from the one table of reasons. */
import {
  BACKUP_REASONS,
  COPY_REASONS,
  EVENT_REASONS,
  EXIT_CODES,
  ExitCode,
  type Explanation,
  exitCodeOf,
  HEALTH_REASONS,
  LOCATION_REASONS,
  RESTORE_REASONS,
  RUN_REASONS,
  type RunReason,
  SCHEDULE_REASONS,
} from '../src/api/reasons.ts';
import { table, withSections } from './sections.ts';

function advice({ kubectl, shell }: Explanation): string {
  if (kubectl === shell) return kubectl ?? '';
  return [kubectl, shell && `In a shell: ${shell}`].filter(Boolean).join(' ');
}

type Retries = (typeof EXIT_CODES)[keyof typeof EXIT_CODES]['retried'];

function retries({ backup, restore }: Retries): string {
  const word = (retried: boolean | undefined) => (retried === undefined ? '' : retried ? 'yes' : 'no');
  return backup === restore ? word(backup) : `${word(backup) || '–'} / ${word(restore) || '–'}`;
}

function exitCodes(): string {
  const names = Object.keys(EXIT_CODES) as (keyof typeof EXIT_CODES)[];
  return table(
    ['Code', 'Meaning', 'Phase of the KmBackup', 'Retried by the Job of a KmBackup / KmRestore'],
    names.map((name) => {
      const { meaning, phase, retried } = EXIT_CODES[name];
      return [`${ExitCode[name]}`, meaning, phase ? `\`${phase}\`` : '', retries(retried)];
    }),
  );
}

function runReasons(): string {
  return table(
    ['Reason', 'Exit code', 'Meaning', 'What to do'],
    Object.entries(RUN_REASONS).map(([reason, explanation]) => [
      `\`${reason}\``,
      `${exitCodeOf(reason as RunReason)}`,
      explanation.meaning,
      advice(explanation),
    ]),
  );
}

function backupReasons(states: readonly string[]): string {
  return table(
    ['Reason', 'Meaning', 'What to do'],
    Object.entries(BACKUP_REASONS)
      .filter(([, { state }]) => states.includes(state))
      .map(([reason, explanation]) => [`\`${reason}\``, explanation.meaning, advice(explanation)]),
  );
}

function restoreReasons(): string {
  return table(
    ['Reason', 'State', 'Meaning', 'What to do'],
    Object.entries(RESTORE_REASONS).map(([reason, explanation]) => [
      `\`${reason}\``,
      explanation.state,
      explanation.meaning,
      advice(explanation),
    ]),
  );
}

function scheduleReasons(): string {
  return table(
    ['Condition', 'Reason', 'Meaning', 'What to do'],
    Object.entries(SCHEDULE_REASONS).map(([reason, explanation]) => [
      `\`${explanation.condition}=${explanation.status}\``,
      `\`${reason}\``,
      explanation.meaning,
      advice(explanation),
    ]),
  );
}

function healthReasons(): string {
  return table(
    ['Reason', 'Meaning', 'What to do'],
    Object.entries(HEALTH_REASONS).map(([reason, explanation]) => [
      `\`${reason}\``,
      explanation.meaning,
      explanation.kubectl,
    ]),
  );
}

function locationReasons(): string {
  return table(
    ['Condition', 'Reason', 'Meaning', 'What to do'],
    Object.entries(LOCATION_REASONS).map(([reason, explanation]) => [
      `\`Available=${explanation.status}\``,
      `\`${reason}\``,
      explanation.meaning,
      advice(explanation),
    ]),
  );
}

function copyReasons(): string {
  return table(
    ['Reason', 'Phase', 'Meaning', 'What to do'],
    Object.entries(COPY_REASONS).map(([reason, explanation]) => [
      `\`${reason}\``,
      `\`${explanation.phase}\``,
      explanation.meaning,
      advice(explanation),
    ]),
  );
}

function events(): string {
  return table(
    ['Event', 'Meaning'],
    Object.entries(EVENT_REASONS).map(([reason, { meaning }]) => [`\`${reason}\``, meaning]),
  );
}

/** @param current the page as it is: only its generated sections are replaced */
export function troubleshootingPage(current: string): string {
  return withSections(current, {
    'exit-codes': exitCodes(),
    'run-reasons': runReasons(),
    'waiting-reasons': backupReasons(['waiting', 'running']),
    'ended-reasons': backupReasons(['ended']),
    'restore-reasons': restoreReasons(),
    'schedule-reasons': scheduleReasons(),
    'health-reasons': healthReasons(),
    'location-reasons': locationReasons(),
    'copy-reasons': copyReasons(),
    events: events(),
  });
}
