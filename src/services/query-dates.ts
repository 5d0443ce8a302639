import { compileMatch } from '../catalog/match';
import type { Condition, Match, QueryRow } from '../catalog/query-types';
import { shiftDays, shiftMinutes } from '../dicom/date-time';
import { dateInterval, offsetMinutes, timeInterval } from '../dicom/match-keys';
import { localOffset } from './query-keys';

/** Dates and the times that belong to them, by keyword: what is matched together and shifted together. */
export const DATE_TIME_PAIRS: ReadonlyMap<string, string> = new Map([
  ['StudyDate', 'StudyTime'],
  ['SeriesDate', 'SeriesTime'],
  ['ContentDate', 'ContentTime'],
  ['AcquisitionDate', 'AcquisitionTime'],
  ['PerformedProcedureStepStartDate', 'PerformedProcedureStepStartTime'],
  ['PerformedProcedureStepEndDate', 'PerformedProcedureStepEndTime'],
]);

const DATE_OF_TIME: ReadonlyMap<string, string> = new Map(
  [...DATE_TIME_PAIRS].map(([date, time]) => [time, date]),
);

/** Both keywords of the pair that one belongs to, or undefined. */
export function pairOf(keyword: string): readonly [date: string, time: string] | undefined {
  const date = DATE_OF_TIME.get(keyword) ?? keyword;
  const time = DATE_TIME_PAIRS.get(date);
  return time === undefined ? undefined : [date, time];
}

/**
 * Combined date-time matching (PS3.4 C.2.2.2.5.4): where both of a pair ask for one value or range they become one condition, from the
 * first date at the first time to the last date at the last time. A time without its date stays one of every day.
 */
export function combineDateTimes(conditions: readonly Condition[]): Condition[] {
  const intervals = new Map(conditions.map(({ keyword, match }) => [keyword, intervalOf(match)]));
  return conditions.flatMap((condition) => {
    const pair = pairOf(condition.keyword);
    const [dates, times] = pair?.map((keyword) => intervals.get(keyword)) ?? [];
    if (pair === undefined || dates === undefined || times === undefined) return [condition];
    const [date, time] = pair;
    if (condition.keyword === time) return [];
    const from = dates.from === undefined ? undefined : dates.from + (times.from ?? '000000.000000');
    const to = dates.to === undefined ? undefined : dates.to + (times.to ?? '235959.999999');
    const match: Match = {
      kind: 'dateTime',
      time,
      ...(from === undefined ? {} : { from }),
      ...(to === undefined ? {} : { to }),
    };
    return [{ keyword: date, match }];
  });
}

function intervalOf(match: Match): { readonly from?: string; readonly to?: string } | undefined {
  if (match.kind === 'range') return match;
  const [value, another] = match.kind === 'values' ? match.values : [];
  return value === undefined || another !== undefined ? undefined : { from: value, to: value };
}

/** Timezone query adjustment (PS3.4 C.2.2.2.5.5): what is asked of the catalog, and what is left to look at row by row. */
export class TimezoneAdjustment {
  /** For the catalog: everything that may match, with dates a day further to each side, and without times. */
  readonly widened: readonly Condition[];
  /** Columns that a row has to have beside those that are returned. */
  readonly columns: readonly string[];
  private readonly offset: number;
  private readonly tests: readonly ((row: QueryRow) => boolean)[];
  private readonly pairs: readonly (readonly [string, string])[];
  private readonly zoned: boolean;
  private readonly localOffset: (instant: number) => number;

  /** @param zoned Rows of this level have `TimezoneOffsetFromUTC`. */
  constructor(options: {
    /** Minutes east of UTC in which the caller asks, and is answered. */
    readonly offset: number;
    readonly conditions: readonly Condition[];
    readonly returned: readonly string[];
    readonly zoned: boolean;
    readonly localOffset?: (instant: number) => number;
  }) {
    const { offset, conditions, returned, zoned } = options;
    this.offset = offset;
    this.zoned = zoned;
    this.localOffset = options.localOffset ?? localOffset;
    const exact = conditions.filter(
      ({ keyword, match }) => pairOf(keyword) !== undefined && match.kind !== 'empty',
    );
    this.tests = exact.map(testOf);
    this.widened = conditions.flatMap((condition) =>
      exact.includes(condition) ? widen(condition) : [condition],
    );
    const dates = new Set<string>();
    for (const keyword of [...returned, ...exact.map((condition) => condition.keyword)]) {
      const pair = pairOf(keyword);
      if (pair !== undefined) dates.add(pair[0]);
    }
    this.pairs = [...dates].map((date) => [date, DATE_TIME_PAIRS.get(date) ?? ''] as const);
    this.columns = [...this.pairs.flat(), ...(zoned && this.pairs.length > 0 ? [OFFSET] : [])];
  }

  /** The row with its dates and times in the caller's zone, or undefined where it doesn't match then. */
  apply(row: QueryRow): QueryRow | undefined {
    const adjusted: Record<string, QueryRow[string]> = { ...row };
    const given = this.zoned ? offsetMinutes(textOf(row[OFFSET])) : undefined;
    for (const [date, time] of this.pairs) {
      const point = this.shift(textOf(row[date]), textOf(row[time]), given);
      if (point !== undefined) [adjusted[date], adjusted[time]] = point;
    }
    return this.tests.every((test) => test(adjusted)) ? adjusted : undefined;
  }

  /** A date without a time can't be shifted, nor a time without a date: they stay. */
  private shift(
    date: string,
    time: string,
    given: number | undefined,
  ): [date: string, time: string] | undefined {
    const day = dateInterval(date);
    const clock = timeInterval(time)?.from;
    if (day?.from === undefined || day.from !== day.to || clock === undefined || time.includes('-'))
      return undefined;
    const digits = time.replaceAll(':', '');
    const point = day.from + clock;
    const from = given ?? this.localOffset(shiftMinutes(point, -this.localOffset(instantOf(point))).instant);
    const { text } = shiftMinutes(point, this.offset - from);
    // As precise as before; minutes only appear where the zones differ by them.
    const length = digits.length === 2 && text.slice(10, 12) !== '00' ? 4 : digits.length;
    return [text.slice(0, 8), text.slice(8, 8 + length)];
  }
}

const OFFSET = 'TimezoneOffsetFromUTC';

function instantOf(point: string): number {
  return shiftMinutes(point, 0).instant;
}

function textOf(value: QueryRow[string] | undefined): string {
  return value === undefined || value === null ? '' : String(value);
}

function widen({ keyword, match }: Condition): Condition[] {
  if (DATE_OF_TIME.has(keyword)) return [];
  const bounds = boundsOf(match);
  if (bounds === undefined) return [];
  const from = bounds.from === undefined ? {} : { from: shiftDays(bounds.from.slice(0, 8), -1) };
  const to = bounds.to === undefined ? {} : { to: shiftDays(bounds.to.slice(0, 8), 1) };
  return [{ keyword, match: { kind: 'range', ...from, ...to } }];
}

function boundsOf(match: Match): { readonly from?: string; readonly to?: string } | undefined {
  if (match.kind === 'range' || match.kind === 'dateTime') return match;
  if (match.kind !== 'values' && match.kind !== 'every') return undefined;
  const days = [...match.values].sort();
  const [from, to] = [days[0], days.at(-1)];
  return from === undefined || to === undefined ? undefined : { from, to };
}

function testOf({ keyword, match }: Condition): (row: QueryRow) => boolean {
  const test = compileMatch(DATE_OF_TIME.has(keyword) ? 'TM' : 'DA', match);
  if (match.kind !== 'dateTime') return (row) => test(row[keyword] ?? null);
  return (row) => test(row[keyword] ?? null, row[match.time] ?? null);
}
