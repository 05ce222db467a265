import { Document, isScalar, visit } from 'yaml';
import { escapeJson } from '../../log/printable.ts';

/** YAML whose text has no character that does not print: such a string is quoted, and the character escaped. */
export function yamlOf(value: unknown): string {
  const document = new Document(value, { aliasDuplicateObjects: false });
  visit(document, {
    Scalar(_, node) {
      if (isScalar(node) && typeof node.value === 'string' && escapeJson(node.value) !== node.value)
        node.type = 'QUOTE_DOUBLE';
    },
  });
  return escapeJson(document.toString({ lineWidth: 0 }));
}
