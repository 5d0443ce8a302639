import { arrival } from '../arrivals';
import { Direct } from './direct';
import { allRows, exactly, query } from './query-kit';

describe('the pages of a query', () => {
  it('go on behind a study that is gone, and show no version that was replaced', () => {
    const changing = new Direct();
    const one = (number: number, sha256 = `${number}`): ReturnType<typeof arrival> =>
      arrival({
        number,
        study: `1.${number % 3}`,
        uid: `${((number - 1) % 9) + 1}`,
        sha256,
        values: { PatientID: 'P', SOPInstanceUID: `${((number - 1) % 9) + 1}` },
      });
    try {
      const first = Array.from({ length: 9 }, (_, index) => one(index + 1));
      changing.put(first);
      const asked = query('IMAGE', { PatientID: exactly('P') });
      const begun = changing.reader.query({ query: asked, page: { limit: 2 } });
      expect(begun.rows.map((row) => row['SOPInstanceUID'])).toEqual(['3', '6']);
      // While the caller is away the study that is open goes, and an instance behind it is replaced.
      let left = first;
      for (const gone of first.filter(({ header }) => header.StudyInstanceUID === '1.0')) {
        left = left.filter((other) => other !== gone);
        expect(changing.exchange({ leaves: gone.arrivalId, replay: left })).toBe('done');
      }
      changing.put([one(10, 'other')]);
      const rest: unknown[] = [];
      for (let after = begun.next; after !== undefined;) {
        const page = changing.reader.query({ query: asked, page: { limit: 2, after } });
        rest.push(...page.rows.map((row) => row['SOPInstanceUID']));
        after = page.next;
      }
      expect(rest.sort()).toEqual(['1', '2', '4', '5', '7', '8']);
      expect(allRows(changing, query('PATIENT', { PatientID: exactly('P') }))).toHaveLength(1);
    } finally {
      changing.remove();
    }
  });
});
