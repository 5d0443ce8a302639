import type Database from 'better-sqlite3';
import type { AttributeValue } from '../../dicom/types';
import type { Matcher } from '../match';

/** SQL text and what is bound to it. Names come from the layout, all else is a parameter. */
export interface Term {
  readonly text: string;
  readonly parameters: readonly (string | number)[];
}

/** The matchers of one query, called from SQL by their number. */
export class Matchers {
  private readonly list: Matcher[] = [];

  /**
   * @param make called when the first row is there to be matched: an index often leaves nothing to do.
   * @param operands SQL for the matcher's columns.
   */
  term(make: () => Matcher, operands: readonly string[]): Term {
    let matcher: Matcher | undefined;
    this.list.push((...columns) => (matcher ??= make())(...columns));
    return { text: `matches(?, ${operands.join(', ')})`, parameters: [this.list.length - 1] };
  }

  call(number: number, columns: readonly (AttributeValue | null)[]): boolean {
    return this.list[number]?.(...columns) === true;
  }
}

/** Gives a connection the function `matches(number, column, …)`: 1 where that matcher of the present query says so. */
export function registerMatches(database: Database.Database, present: () => Matchers | undefined): void {
  database.function(
    'matches',
    { varargs: true, directOnly: true },
    (number: number, ...columns: (AttributeValue | null)[]) =>
      present()?.call(number, columns) === true ? 1 : 0,
  );
}
