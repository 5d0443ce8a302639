import { printable } from '../printable';

export interface Substitution {
  readonly text: string;
  /** Variables that are named in the text, set or not. */
  readonly variables: readonly string[];
  readonly problems: readonly string[];
}

const REFERENCE = /\$(\$\{|\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})?)/g;

/**
 * Puts environment variables into a scalar: `${VAR}`, and `${VAR:-default}` for one that is unset or empty. `$${` stands for `${`. What a variable
 * holds stays one scalar: it can't add keys.
 */
export function substitute(
  text: string,
  environment: Readonly<Record<string, string | undefined>>,
): Substitution {
  const variables: string[] = [];
  const problems: string[] = [];
  const result = text.replace(
    REFERENCE,
    (match: string, what: string, name: string | undefined, fallback: string | undefined) => {
      if (what === '${') return '${';
      if (name === undefined) {
        problems.push('a variable is written ${NAME} or ${NAME:-default}; for the text "${" write "$${"');
        return match;
      }
      variables.push(name);
      const value = environment[name];
      if (fallback !== undefined) return value === undefined || value === '' ? fallback : value;
      if (value === undefined)
        problems.push(
          `the environment variable ${printable(name, 64)} is not set: set it, or write \${${printable(name, 64)}:-default}`,
        );
      return value ?? '';
    },
  );
  return { text: result, variables, problems };
}
