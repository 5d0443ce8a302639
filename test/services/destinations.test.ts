import { findDestination, type MoveDestination } from '../../src/services/destinations';
import { refusal } from './query-kit';

const callable = (name: string, aeTitle: string): MoveDestination => ({
  name,
  aeTitle,
  associations: 1,
  transcode: 'lossless',
  retryFailed: false,
});

const REMOTES = [
  { name: 'any', aeTitle: '*', missing: 'an aeTitle without * and ?' },
  { name: 'half', aeTitle: 'PACS', missing: 'a port' },
  callable('pacs', 'PACS'),
  callable('pacs2', 'PACS'),
  { name: 'ct', aeTitle: 'CT1', missing: 'a single address or name as host' },
];

const find = (title: string, destinations?: readonly string[]): string =>
  findDestination(REMOTES, title, {
    name: 'ws',
    ...(destinations === undefined ? {} : { destinations: new Set(destinations) }),
  }).name;

it('takes the first of a title that can be called', () => {
  expect(find('PACS')).toBe('pacs');
  expect(find(' PACS  ')).toBe('pacs');
});

it('takes the first that the caller may name', () => {
  expect(find('PACS', ['pacs2', 'ct'])).toBe('pacs2');
});

it.each([
  ['NOWHERE', undefined, 0xa801, /^Unknown destination: add a remote/],
  ['pacs', undefined, 0xa801, /^Unknown destination/],
  ['*', undefined, 0xa801, /remotes.any needs an aeTitle without/],
  ['CT1', undefined, 0xa801, /^To move there remotes.ct needs a single address/],
  ['CT1', ['pacs'], 0xa801, /remotes.ct/],
  ['PACS', [], 0x0124, /^Not allowed: remotes.ws.destinations lacks pacs$/],
  ['PACS', ['ct'], 0x0124, /lacks pacs/],
])('refuses %s for a caller with %j', (title, destinations, status, comment) => {
  const refused = refusal(() => find(title, destinations));
  expect(refused.status).toBe(status);
  expect(refused.comment).toMatch(comment);
});
