"""What pydicom makes of files, as JSON on stdout. Usage: oracle.py COMMAND FILE..."""

import json
import sys
import warnings

import pydicom
from pydicom.multival import MultiValue

warnings.simplefilter("ignore")


def text(value):
    if isinstance(value, (list, MultiValue)):
        return "\\".join(text(part) for part in value)
    return "" if value is None else str(value)


def read(path):
    return pydicom.dcmread(path, force=True, stop_before_pixels=True)


def header(path):
    data_set = read(path)
    keywords = (
        "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID",
        "PatientName", "StudyDate", "StudyDescription", "Modality", "SpecificCharacterSet",
    )
    found = {}
    for keyword in keywords:
        if keyword in data_set:
            # The decoded name, not the bytes that it was read from.
            found[keyword] = text(data_set[keyword].value)
    syntax = getattr(getattr(data_set, "file_meta", None), "TransferSyntaxUID", None)
    found["implicit"] = bool(data_set.is_implicit_VR)
    found["littleEndian"] = bool(data_set.is_little_endian)
    found["transferSyntax"] = None if syntax is None else str(syntax)
    return found


def offset(path):
    """Where the data set begins, by pydicom's reading of the preamble and the file meta group."""
    with open(path, "rb") as stream:
        preamble = pydicom.filereader.read_preamble(stream, True)
        pydicom.filereader._read_file_meta_info(stream) if preamble is not None else None
        return stream.tell()


def meta(path):
    group = pydicom.filereader.read_file_meta_info(path)
    return {
        "%04x%04x" % (element.tag.group, element.tag.element):
        element.value.hex() if isinstance(element.value, bytes) else text(element.value)
        for element in group
    }


def main():
    command = {"header": header, "offset": offset, "meta": meta}[sys.argv[1]]
    answers = []
    for path in sys.argv[2:]:
        try:
            answers.append(command(path))
        except Exception as error:  # what pydicom can't read is an answer too
            answers.append({"error": type(error).__name__})
    json.dump(answers, sys.stdout)


main()
