/**
 * A point in time `YYYYMMDDHHMMSS`, with any rest kept as it is, later by some minutes; and its instant as if it were UTC, in
 * milliseconds since the epoch. Expects digits that are a date and a time.
 */
export function shiftMinutes(
  text: string,
  minutes: number,
): { readonly text: string; readonly instant: number } {
  const part = (start: number, end: number): number => Number(text.slice(start, end));
  const date = new Date(0);
  // Date.UTC would take the years 0 to 99 for those of another century.
  date.setUTCFullYear(part(0, 4), part(4, 6) - 1, part(6, 8));
  date.setUTCHours(part(8, 10), part(10, 12) + minutes, part(12, 14));
  return { text: digitsOf(date) + text.slice(14), instant: date.getTime() };
}

/** A date `YYYYMMDD`, later by some days. */
export function shiftDays(date: string, days: number): string {
  return shiftMinutes(`${date}000000`, days * 1440).text.slice(0, 8);
}

/** Four digits of a year are all that there is: what lies beyond is the first or the last instant. */
function digitsOf(date: Date): string {
  const year = date.getUTCFullYear();
  if (year < 0) return '00000101000000';
  if (year > 9999) return '99991231235959';
  const rest = [
    date.getUTCMonth() + 1,
    date.getUTCDate(),
    date.getUTCHours(),
    date.getUTCMinutes(),
    date.getUTCSeconds(),
  ];
  return String(year).padStart(4, '0') + rest.map((value) => String(value).padStart(2, '0')).join('');
}
