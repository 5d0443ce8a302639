"""What pydicom makes of a DICOMDIR, as JSON on stdout. Usage: dicomdir-oracle.py DICOMDIR [load]

Each referenced file with its reference and the keys of the records above it, found by the offsets alone; with `load` pydicom's own
FileSet has to find and read every file too.
"""

import json
import sys
import warnings

import pydicom
from pydicom.fileset import FileSet

warnings.simplefilter("ignore")


def keys_of(record):
    return {e.keyword: str(e.value) for e in record if e.tag.group != 4 and e.VR != "SQ"}


def tree(path):
    directory = pydicom.dcmread(path)
    by_offset = {record.seq_item_tell: record for record in directory.DirectoryRecordSequence}
    found = {}

    def walk(offset, above):
        while offset:
            record = by_offset[offset]
            here = above + [{"type": record.DirectoryRecordType, "keys": keys_of(record)}]
            if "ReferencedFileID" in record:
                file = record.ReferencedFileID
                found[file if isinstance(file, str) else "/".join(file)] = {
                    "SOPClassUID": str(record.ReferencedSOPClassUIDInFile),
                    "SOPInstanceUID": str(record.ReferencedSOPInstanceUIDInFile),
                    "TransferSyntaxUID": str(record.ReferencedTransferSyntaxUIDInFile),
                    "records": here,
                    "has": {},
                }
            walk(record.OffsetOfReferencedLowerLevelDirectoryEntity, here)
            offset = record.OffsetOfTheNextDirectoryRecord

    walk(directory.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity, [])
    return found


answer = tree(sys.argv[1])
if sys.argv[2:] == ["load"]:
    instances = list(FileSet(pydicom.dcmread(sys.argv[1])))
    assert len(instances) == len(answer), (len(instances), len(answer))
    by_uid = {one["SOPInstanceUID"]: one for one in answer.values()}
    for instance in instances:
        data_set = instance.load()
        assert data_set.SOPInstanceUID == instance.SOPInstanceUID
        has = {keyword: str(data_set.get(keyword) or "") for keyword in ("StudyDate", "StudyTime")}
        by_uid[instance.SOPInstanceUID]["has"] = has
print(json.dumps(answer))
