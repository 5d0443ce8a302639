import type { JobFilter } from '../jobs';
import type { EntityQuery } from '../query-types';
import type { FindFilter } from '../types';
import { layoutOf } from './layout';
import { Reader, type PageRequest, type RetrieveRequest, type SurveyRequest } from './reader';
import { serve } from './thread';

serve(({ file, attributes }) => {
  const reader = new Reader(file, layoutOf(attributes));
  return {
    open: () => undefined,
    find: (request: { filter: FindFilter; page: PageRequest }) => reader.find(request),
    query: (request: { query: EntityQuery; page: PageRequest }) => reader.query(request),
    retrieve: (request: RetrieveRequest) => reader.retrieve(request),
    survey: (request: SurveyRequest) => reader.survey(request),
    locate: (SOPInstanceUID: string) => reader.locate(SOPInstanceUID),
    arrivals: (segment: number) => reader.arrivals(segment),
    segments: () => reader.segments(),
    counts: () => reader.counts(),
    conflicts: (page: PageRequest) => reader.conflicts(page),
    arrivalsOfPatient: (arrivalId: string) => reader.arrivalsOfPatient(arrivalId),
    quarantined: (page: PageRequest) => reader.quarantined(page),
    quarantineEntry: (arrivalId: string) => reader.quarantineEntry(arrivalId),
    jobs: (request: { filter: JobFilter; page: PageRequest }) => reader.jobs(request),
    jobCounts: () => reader.jobCounts(),
    dump: (cursor: string | undefined) => reader.dump(cursor),
    close: () => reader.close(),
  };
});
