/**
 * What several generators yield, as it comes, none of them favoured. Returning early ends them all.
 * @throws what one of them throws, after the others have ended.
 */
export async function* merge<T>(
  sources: readonly AsyncGenerator<T, void, undefined>[],
): AsyncGenerator<T, void, undefined> {
  const steps = new Map<AsyncGenerator<T, void, undefined>, Promise<Step<T>>>();
  for (const source of sources) steps.set(source, step(source));
  try {
    while (steps.size > 0) {
      const { source, result } = await Promise.race(steps.values());
      // Behind the others: a race is won by the first of those that are ready.
      steps.delete(source);
      if (result.done === true) continue;
      steps.set(source, step(source));
      yield result.value;
    }
  } finally {
    await Promise.allSettled(sources.map((source) => source.return()));
  }
}

interface Step<T> {
  readonly source: AsyncGenerator<T, void, undefined>;
  readonly result: IteratorResult<T, void>;
}

function step<T>(source: AsyncGenerator<T, void, undefined>): Promise<Step<T>> {
  const next = source.next().then((result) => ({ source, result }));
  // Its failure is met by the race.
  next.catch(() => undefined);
  return next;
}
