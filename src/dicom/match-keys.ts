import { shiftMinutes } from './date-time';

/** Inclusive; a bound that isn't there is open. Bounds are complete and compare as text. */
export interface Interval {
  readonly from?: string;
  readonly to?: string;
}

/** What one date covers, or undefined where it is none. */
type Reader = (text: string) => Required<Interval> | undefined;

/**
 * A key of VR DA (PS3.4 C.2.2.2.1, C.2.2.2.5): a date, or `a-b`, `-b`, `a-`, also in the old form `YYYY.MM.DD` (PS3.5 6.2). Bounds
 * are `YYYYMMDD`. Undefined where it is no date at all; a range backwards is one, of nothing.
 */
export function dateInterval(key: string): Interval | undefined {
  return interval(key, readDate);
}

/**
 * A key of VR TM: a time, or a range of them; `HH:MM:SS` as well. A time without seconds or minutes stands for all of its
 * minute or hour. Bounds are `HHMMSS.FFFFFF`.
 */
export function timeInterval(key: string): Interval | undefined {
  return interval(key, readTime);
}

/**
 * A key of VR DT, bounds `YYYYMMDDHHMMSS.FFFFFF`. The hyphen of an offset from UTC is none of a range: where it could be either, it
 * is the offset's. A bound with an offset is brought to the zone that `localOffset` tells: minutes east of UTC at an instant.
 */
export function dateTimeInterval(
  key: string,
  localOffset: (instant: number) => number,
): Interval | undefined {
  const read: Reader = (text) => readDateTime(text, localOffset);
  const single = read(key);
  if (single !== undefined) return single;
  const parts = RANGE_OF_DATE_TIMES.exec(key);
  if (parts === null) return undefined;
  return between(parts[1] ?? '', parts[2] ?? '', read);
}

/** Nothing lies in it. */
export function isEmptyInterval({ from, to }: Interval): boolean {
  return from !== undefined && to !== undefined && from > to;
}

function interval(key: string, read: Reader): Interval | undefined {
  const hyphen = key.indexOf('-');
  if (hyphen < 0) return read(key);
  return between(key.slice(0, hyphen), key.slice(hyphen + 1), read);
}

function between(first: string, last: string, read: Reader): Interval | undefined {
  const [from, to] = [first.trim(), last.trim()];
  if (from === '') {
    const end = read(to);
    return end && { to: end.to };
  }
  const begin = read(from);
  if (to === '' || begin === undefined) return begin && { from: begin.from };
  const end = read(to);
  return end && { from: begin.from, to: end.to };
}

function readDate(text: string): Required<Interval> | undefined {
  const [, year = '', , month = '', day = ''] = /^(\d{4})(\.?)(\d\d)\2(\d\d)$/.exec(text) ?? [];
  if (!isDate(year, month, day)) return undefined;
  const date = year + month + day;
  return { from: date, to: date };
}

function isDate(year: string, month: string, day: string): boolean {
  return within(month, 1, 12) && within(day, 1, lastDay(Number(year), Number(month)));
}

function lastDay(year: number, month: number): number {
  if (month !== 2) return [4, 6, 9, 11].includes(month) ? 30 : 31;
  return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28;
}

function within(digits: string, least: number, most: number): boolean {
  return digits !== '' && Number(digits) >= least && Number(digits) <= most;
}

function readTime(text: string): Required<Interval> | undefined {
  const parts = /^(\d\d)(?:(:?)(\d\d)(?:\2(\d\d)(?:\.(\d{1,6}))?)?)?$/.exec(text);
  if (parts === null) return undefined;
  const [, hour = '', , minute, second, fraction] = parts;
  return cover(hour, minute, second, fraction);
}

/** The time between the first and the last instant that the digits given can mean. */
function cover(
  hour: string,
  minute: string | undefined,
  second: string | undefined,
  fraction: string | undefined,
): Required<Interval> | undefined {
  // Second 60 is a leap second (PS3.5 6.2).
  if (!within(hour, 0, 23) || !within(minute ?? '0', 0, 59) || !within(second ?? '0', 0, 60))
    return undefined;
  const bound = (rest: string, digit: string): string =>
    `${hour}${minute ?? rest}${second ?? rest}.${(fraction ?? '').padEnd(6, digit)}`;
  return { from: bound('00', '0'), to: bound('59', '9') };
}

const DATE_TIME =
  /^(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d{1,6}))?)?)?)?)?)?([+-]\d{4})?$/;
const RANGE_OF_DATE_TIMES = /^(\d+(?:\.\d+)?(?:[+-]\d{4})?)? *- *(\d+(?:\.\d+)?(?:[+-]\d{4})?)?$/;

function readDateTime(
  text: string,
  localOffset: (instant: number) => number,
): Required<Interval> | undefined {
  const parts = DATE_TIME.exec(text);
  if (parts === null) return undefined;
  const [, year = '', month, day, hour, minute, second, fraction, offset] = parts;
  if (!isDate(year, month ?? '01', day ?? '01')) return undefined;
  const time = hour === undefined ? DAY : cover(hour, minute, second, fraction);
  if (time === undefined) return undefined;
  const lastMonth = month ?? '12';
  const end = day ?? String(lastDay(Number(year), Number(lastMonth)));
  const from = `${year}${month ?? '01'}${day ?? '01'}${time.from}`;
  const to = `${year}${lastMonth}${end}${time.to}`;
  if (offset === undefined) return { from, to };
  const minutes = offsetMinutes(offset);
  if (minutes === undefined) return undefined;
  return { from: toLocal(from, minutes, localOffset), to: toLocal(to, minutes, localOffset) };
}

const DAY: Required<Interval> = { from: '000000.000000', to: '235959.999999' };

function toLocal(text: string, minutes: number, localOffset: (instant: number) => number): string {
  const utc = shiftMinutes(text, -minutes);
  return shiftMinutes(utc.text, localOffset(utc.instant)).text;
}

/** Minutes east of UTC of `&ZZXX` (PS3.5 6.2, -1200 to +1400), or undefined where it is no offset. */
export function offsetMinutes(text: string): number | undefined {
  const [, sign, hours = '', minutes = ''] = /^([+-])(\d\d)(\d\d)$/.exec(text) ?? [];
  if (sign === undefined || !within(minutes, 0, 59)) return undefined;
  const value = (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes));
  return value >= -720 && value <= 840 ? value : undefined;
}
