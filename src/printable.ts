const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/**
 * Text from outside, made safe for a log line or a terminal: control and format characters, line separators and lone
 * surrogates become `\x1b` or `\u202e`, and what is longer than `limit` UTF-16 units ends in `…`. Idempotent for what it returns
 * within the limit.
 */
export function printable(text: string, limit = 256): string {
  // Cut first: the work is bounded by the limit, not by what a peer sent.
  const cut = text.length > limit ? `${text.slice(0, limit - 1)}…` : text;
  return cut.replace(UNPRINTABLE, (character) => {
    const code = character.codePointAt(0) ?? 0;
    if (code <= 0xff) return `\\x${code.toString(16).padStart(2, '0')}`;
    if (code <= 0xffff) return `\\u${code.toString(16).padStart(4, '0')}`;
    return `\\u{${code.toString(16)}}`;
  });
}
