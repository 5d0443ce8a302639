import { printable } from '../printable';
import { destinationOf } from './config';
import type { ConfigDocument } from './document';
import type { Draft, ParsedRemote } from './draft';
import type { Path, Problem } from './problems';
import { didYouMean } from './suggest';

/** What no single value shows: names that refer to nothing, rules that can't match. Looks at whatever could be read. */
export function checkMeaning(draft: Draft, document: ConfigDocument): Problem[] {
  const problems: Problem[] = [];
  const report = (path: Path, message: string): void => {
    // A single value was read as a list of one.
    const at = typeof path.at(-1) === 'number' && !document.has(path) ? path.slice(0, -1) : path;
    problems.push({ ...document.placeOf(at), path: at, message });
  };
  checkTitles(draft, report);
  checkAttributes(draft, report);
  draft.remotes.forEach((remote, i) => {
    checkCalledTitle(remote, draft, report);
    checkTwin(remote, draft.remotes.slice(0, i), document, report);
    checkDestinations(remote, draft, report);
    checkCommitment(remote, report);
  });
  return problems;
}

type Report = (path: Path, message: string) => void;

function checkTitles(draft: Draft, report: Report): void {
  const titles = draft.sections.aeTitles ?? [];
  titles.forEach((title, i) => {
    const first = titles.indexOf(title);
    if (first < i) report(['aeTitles', i], `"${title}" is there twice: take one out`);
  });
}

function checkAttributes(draft: Draft, report: Report): void {
  const keywords = (draft.sections.catalog?.attributes ?? []).map(({ keyword }) => keyword);
  keywords.forEach((keyword, i) => {
    if (keywords.indexOf(keyword) < i)
      report(['catalog', 'attributes', i, 'keyword'], `${keyword} is there twice: take one out`);
  });
}

function checkCalledTitle(remote: ParsedRemote, draft: Draft, report: Report): void {
  const { aeTitles, access } = draft.sections;
  const called = remote.calledAeTitle;
  if (called === undefined || aeTitles === undefined || access?.calledAeTitle !== 'check') return;
  if (!aeTitles.includes(called))
    report(
      ['remotes', remote.name, 'calledAeTitle'],
      `"${called}" is not among aeTitles: this remote could never get in${didYouMean(called, aeTitles)}`,
    );
}

/** Of two remotes that fit the same callers only the first is ever found. */
function checkTwin(
  remote: ParsedRemote,
  earlier: readonly ParsedRemote[],
  document: ConfigDocument,
  report: Report,
): void {
  const hosts = (one: ParsedRemote): string =>
    [...one.host]
      .map((host) => host.toLowerCase())
      .sort()
      .join();
  const twin = earlier.find(
    (other) =>
      other.aeTitle === remote.aeTitle &&
      hosts(other) === hosts(remote) &&
      (other.calledAeTitle === undefined || other.calledAeTitle === remote.calledAeTitle),
  );
  if (twin === undefined) return;
  const { line } = document.keyPlaceOf(['remotes', twin.name]);
  report(
    ['remotes', remote.name, 'aeTitle'],
    `the same title and host as remotes.${printable(twin.name, 64)} on line ${String(line)}, which is found first: give both the rights in one`,
  );
}

function checkDestinations(remote: ParsedRemote, draft: Draft, report: Report): void {
  for (const key of ['destinations', 'forwardTo'] as const)
    remote[key]?.forEach((name, i) => {
      const path = ['remotes', remote.name, key, i];
      const target = draft.remotes.find((other) => other.name === name);
      if (key === 'forwardTo' && name === remote.name) {
        report(path, 'it would get back what it stores: name another remote');
        return;
      }
      if (target === undefined) {
        // One that could not be read has problems of its own.
        if (!draft.remoteNames.includes(name))
          report(path, `there is no remote "${printable(name, 64)}"${didYouMean(name, draft.remoteNames)}`);
        return;
      }
      const found = destinationOf({ ...target, hosts: target.host });
      if ('missing' in found) report(path, `"${name}" can't be sent to: it needs ${found.missing}`);
    });
}

function checkCommitment(remote: ParsedRemote, report: Report): void {
  if (remote.commit !== 'new-association') return;
  const found = destinationOf({ ...remote, hosts: remote.host });
  if ('missing' in found)
    report(
      ['remotes', remote.name, 'commit'],
      `a new association needs ${found.missing}: add it, or write same-association`,
    );
}
