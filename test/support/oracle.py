"""What pydicom makes of files, as JSON on stdout. Usage: oracle.py COMMAND FILE..."""

import hashlib
import json
import sys
import warnings

import numpy
import pydicom
from pydicom.multival import MultiValue

warnings.simplefilter("ignore")


def text(value):
    if isinstance(value, (list, MultiValue)):
        return "\\".join(text(part) for part in value)
    return "" if value is None else str(value)


def header(path):
    data_set = pydicom.dcmread(path, force=True, stop_before_pixels=True)
    keywords = (
        "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID",
        "PatientName", "StudyDate", "StudyDescription", "Modality", "SpecificCharacterSet",
    )
    # The decoded values, not the bytes that they were read from.
    found = {keyword: text(data_set[keyword].value) for keyword in keywords if keyword in data_set}
    syntax = getattr(getattr(data_set, "file_meta", None), "TransferSyntaxUID", None)
    found["implicit"] = bool(data_set.is_implicit_VR)
    found["littleEndian"] = bool(data_set.is_little_endian)
    found["transferSyntax"] = None if syntax is None else str(syntax)
    return found


def offset(path):
    """Where the data set begins, by pydicom's reading of the preamble and the file meta group."""
    with open(path, "rb") as stream:
        if pydicom.filereader.read_preamble(stream, True) is not None:
            pydicom.filereader._read_file_meta_info(stream)
        return stream.tell()


def pixels(path):
    """SHA-256 of Pixel Data as it stands in the file, items of encapsulated frames included."""
    data_set = pydicom.dcmread(path, force=True)
    return hashlib.sha256(data_set.PixelData).hexdigest() if "PixelData" in data_set else None


def same(pair):
    """Whether two uncompressed files hold the same data set, whatever their byte order and VR encoding."""
    one, other = (pydicom.dcmread(path, force=True) for path in pair.split("|"))
    if any(getattr(getattr(d, "file_meta", None), "TransferSyntaxUID", one.file_meta.TransferSyntaxUID
                   if hasattr(one, "file_meta") and "TransferSyntaxUID" in one.file_meta
                   else pydicom.uid.ImplicitVRLittleEndian).is_compressed for d in (one, other)):
        return False
    if ("PixelData" in one) != ("PixelData" in other):
        return False
    if "PixelData" in one:
        if len(one.PixelData) != len(other.PixelData):
            return False
        order = [("<" if d.is_little_endian else ">") + ("u1", "u2", "u2", "u4", "u4")[d.BitsAllocated // 8]
                 for d in (one, other)]
        if not numpy.array_equal(*(numpy.frombuffer(d.PixelData, o) for d, o in zip((one, other), order))):
            return False
        del one.PixelData, other.PixelData
    return one.to_json() == other.to_json()


COMMANDS = {"header": header, "offset": offset, "pixels": pixels, "same": same}


def main():
    answers = []
    for path in sys.argv[2:]:
        try:
            answers.append(COMMANDS[sys.argv[1]](path))
        except Exception as error:  # what pydicom can't read is an answer too
            answers.append({"error": type(error).__name__})
    json.dump(answers, sys.stdout)


main()
