/** A `InstanceLocation`, to be continued with WHERE. */
export function locationSelect(): string {
  return `SELECT instances.arrivalId, instances.SOPClassUID, instances.SOPInstanceUID, studies.StudyInstanceUID,
    series.SeriesInstanceUID, instances.TransferSyntaxUID, instances.dataSetOffset, instances.dataSetLength,
    instances.sha256, CASE instances.version WHEN 0 THEN 'current' ELSE 'version' END AS state, instances.damaged
    FROM instances CROSS JOIN series ON series.id = instances.series CROSS JOIN studies ON studies.id = series.study`;
}
