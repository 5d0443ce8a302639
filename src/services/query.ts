import type { EntityQuery, QueryPage, QueryRow } from '../catalog/query-types';
import type { Catalog } from '../catalog/types';
import { STATUS } from '../dimse/status';
import type { DimseRequest, DimseResponse, Service, ServiceContext } from '../dimse/types';
import { DimseError, errorCode } from '../errors';
import type { LogFn } from '../log';
import { findAgreement, queryClass } from './query-classes';
import { planQuery, readIdentifier, type Attributes, type QueryPlan } from './query-identifier';
import { ResponseEncoder } from './query-response';

/** Rows of the first page: few, so that the first answer leaves early. */
const FIRST_PAGE = 20;
/** Rows of all others: few enough to be encoded in a few milliseconds, and to be forgotten when the query is cancelled. */
const PAGE = 200;
/** Rows of a page that is only counted. */
const COUNTED_PAGE = 1000;

export interface FindOptions {
  readonly catalog: Pick<Catalog, 'query'>;
  readonly attributes: Attributes;
  /** The node's own title: whom to retrieve from. */
  readonly aeTitle: string;
  /** `limits.findMatches`; 0 = no limit. */
  readonly findMatches: () => number;
  readonly log: LogFn;
  /** Minutes east of UTC at an instant, for what names no zone; default: this process's. */
  readonly localOffset?: (instant: number) => number;
}

/**
 * C-FIND SCP of Query/Retrieve (PS3.4 C.4.1). Answers leave page by page as the caller takes them: one page is held, the next is under
 * way. Throws `DimseError` A900 and C000 for identifiers, A700 for a query that matches too much.
 */
export function cFind(options: FindOptions): Service {
  return async function* find(request: DimseRequest, context: ServiceContext): AsyncGenerator<DimseResponse> {
    const { abstractSyntax, transferSyntax } = request.context;
    const { association, peer } = context;
    const row = queryClass(abstractSyntax);
    if (row === undefined) throw new Error('C-FIND came on a context that is not served');
    const agreed = association.extendedNegotiation.find(({ sopClass }) => sopClass === abstractSyntax);
    const plan = planQuery(await readIdentifier(request.dataSet, transferSyntax), {
      queryClass: row,
      agreement: findAgreement(agreed?.information),
      peer,
      attributes: options.attributes,
      ...(options.localOffset === undefined ? {} : { localOffset: options.localOffset }),
    });
    if (plan.characterSet === undefined) {
      options.log('warn', 'a query names an unknown character set: other characters than ASCII match any', {
        association: association.id,
        remote: peer.name,
      });
    }
    const stop = AbortSignal.any([context.cancelled, context.lost]);
    await requireNarrow(options, plan, peer.findMatches ?? options.findMatches(), stop);
    const encoder = new ResponseEncoder(plan, {
      transferSyntax,
      aeTitle: options.aeTitle,
      ...(peer.charset === undefined ? {} : { charset: peer.charset }),
    });
    const status = plan.incomplete ? STATUS.PendingWithWarning : STATUS.Pending;
    for await (const rows of matches(options.catalog, plan, plan.query, [FIRST_PAGE, PAGE], stop)) {
      for (const match of rows) {
        if (stop.aborted) break;
        yield { status, dataSet: encoder.encode(match) };
      }
    }
    yield { status: stop.aborted ? STATUS.Cancel : STATUS.Success };
  };
}

/** Refuses a query that matches more than `limit` entities before anything of it is answered: a list cut short would be a lie. */
async function requireNarrow(
  { catalog }: FindOptions,
  plan: QueryPlan,
  limit: number,
  stop: AbortSignal,
): Promise<void> {
  if (limit === 0) return;
  const query = { ...plan.query, columns: plan.adjustment?.columns ?? [] };
  const size = Math.min(limit + 1, COUNTED_PAGE);
  let count = 0;
  for await (const rows of matches(catalog, plan, query, [size, size], stop)) {
    count += rows.length;
    if (count > limit)
      throw new DimseError(STATUS.OutOfResources, `Too broad: more than ${limit} matches. ${narrowBy(plan)}`);
  }
}

function narrowBy({ level }: QueryPlan): string {
  if (level === 'PATIENT') return 'Ask by patient ID or name';
  return level === 'STUDY' ? 'Ask by patient or dates' : 'Ask for one study';
}

/** Pages of matching rows, until the end or until `stop`. While one is being used the next is fetched. */
async function* matches(
  catalog: Pick<Catalog, 'query'>,
  { adjustment, empty }: QueryPlan,
  query: EntityQuery,
  [first, others]: readonly [number, number],
  stop: AbortSignal,
): AsyncGenerator<readonly QueryRow[]> {
  if (empty || stop.aborted) return;
  let page: Promise<QueryPage> | undefined = ask(catalog, query, { limit: first });
  while (page !== undefined) {
    const current: QueryPage | undefined = await unlessStopped(page, stop);
    if (current === undefined) return;
    const { rows, next }: QueryPage = current;
    page = next === undefined ? undefined : ask(catalog, query, { limit: others, after: next });
    if (rows.length === 0) continue;
    yield adjustment === undefined
      ? rows
      : rows.map((row) => adjustment.apply(row)).filter((row) => row !== undefined);
  }
}

function ask(
  catalog: Pick<Catalog, 'query'>,
  query: EntityQuery,
  page: { readonly limit: number; readonly after?: string },
): Promise<QueryPage> {
  const asked = catalog.query(query, page).catch((error: unknown) => {
    if (errorCode(error) !== 'CATALOG_FILTER') throw error;
    throw new DimseError(STATUS.DataSetDoesNotMatchSOPClass, 'A key can not be matched, or is too long', {
      cause: error,
    });
  });
  // One that was fetched ahead may not be wanted any more when it fails.
  asked.catch(() => undefined);
  return asked;
}

/** The value, or undefined as soon as `stop` is aborted: a page that is under way is left to itself. */
async function unlessStopped<T>(work: Promise<T>, stop: AbortSignal): Promise<T | undefined> {
  if (stop.aborted) return undefined;
  const { promise, resolve, reject } = Promise.withResolvers<T | undefined>();
  const onAbort = (): void => resolve(undefined);
  stop.addEventListener('abort', onAbort, { once: true });
  work.then(resolve, reject);
  try {
    return await promise;
  } finally {
    stop.removeEventListener('abort', onAbort);
  }
}
