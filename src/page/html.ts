/** HTML as text. Everything that is not written in this program's sources passes `escapeHtml`. */
import { printable } from '../log/printable.ts';

/** Markup that is safe to send. Only `html` and `markup` make it. */
export class Html {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

export type Content = Html | string | number | false | null | undefined | readonly Content[];

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
  '`': '&#96;',
};

/** Text from outside for an element or a quoted attribute. Characters that do not print are shown as escapes. */
export function escapeHtml(text: string): string {
  return printable(text, Number.POSITIVE_INFINITY).replace(/[&<>"'`]/g, (character) => ENTITIES[character]!);
}

function render(content: Content): string {
  if (content instanceof Html) return content.text;
  if (content === false || content === null || content === undefined) return '';
  return typeof content === 'object' ? content.map(render).join('') : escapeHtml(String(content));
}

/** A template of markup: what is interpolated is escaped, unless it is markup itself. */
export function html(template: TemplateStringsArray, ...values: readonly Content[]): Html {
  return new Html(template.map((part, index) => part + render(values[index])).join(''));
}

/** Markup from this program's own constants: numbers of an SVG path, a style sheet. */
export const markup = (text: string): Html => new Html(text);

/** Text with `code` between backticks, as the tables of reasons have it. */
export function prose(text: string): Html {
  const parts = text.split('`').map((part, index) => (index % 2 === 1 ? html`<code>${part}</code>` : part));
  return html`${parts}`;
}
