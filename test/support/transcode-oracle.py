"""Compares data sets for the transcoding tests, as JSON on stdout. Usage: transcode-oracle.py COMMAND A|B...

elements: what differs between the elements of two files, pixel data included as they stand in memory order.
pixels:   what differs between the decoded pixels of two files.
"""

import io
import json
import sys
import warnings

import numpy
import pydicom
from PIL import Image

warnings.simplefilter("ignore")
# What is kept as UN stays UN.
pydicom.config.replace_un_with_known_vr = False
IGNORED = {0xFFFCFFFC}
TEXT = {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}


def plain(element, little):
    value = element.value
    if isinstance(value, (bytes, bytearray)):
        value = bytes(value)
        if element.VR == "OW" and not little:
            value = numpy.frombuffer(value, ">u2").astype("<u2").tobytes()
        return value.rstrip(b"\0").hex()
    if element.VR in TEXT or isinstance(value, str):
        parts = value if isinstance(value, (list, pydicom.multival.MultiValue)) else [value]
        return [str("" if part is None else part).rstrip(" \0") for part in parts]
    return repr(value)


def stored(data_set, tag):
    """The bytes as they stand in the file."""
    value = data_set.get_item(tag).value or b""
    return (value.encode("latin-1", "replace") if isinstance(value, str) else value).rstrip(b" \0") \
        if isinstance(value, (bytes, str)) else None


def differences(one, other, little, path=""):
    found = []
    tags = lambda data_set: [tag for tag in data_set.keys() if tag.element != 0 and int(tag) not in IGNORED]
    # Before pydicom turns them into values.
    raw = {tag: (stored(one, tag), stored(other, tag)) for tag in tags(one) if tag in other}
    for tag in sorted(set(tags(one)) | set(tags(other))):
        name = path + "%08X" % tag
        if (tag in one) != (tag in other):
            found.append(name + (" lost" if tag in one else " added"))
            continue
        a, b = one[tag], other[tag]
        if a.VR == "SQ" and b.VR == "SQ":
            if len(a.value) != len(b.value):
                found.append(name + " items")
            for index, (x, y) in enumerate(zip(a.value, b.value)):
                found += differences(x, y, little, "%s[%d]." % (name, index))
        elif "SQ" in (a.VR, b.VR):
            continue
        elif a.VR != b.VR and tag != 0x7FE00010:
            # Private and unknown ones: little endian in every syntax (PS3.5 6.2.2).
            x, y = raw[tag]
            if x != y and little[0] == little[1]:
                found.append("%s %s %s" % (name, a.VR, b.VR))
        elif plain(a, little[0]) != plain(b, little[1]):
            found.append("%s %s %s" % (name, a.VR, b.VR))
    return found


def read(path):
    return pydicom.dcmread(path, force=True)


def elements(pair):
    one, other = (read(path) for path in pair.split("|"))
    return differences(one, other, (one.is_little_endian, other.is_little_endian))


def decoded(data_set):
    """HTJ2K is nothing that pydicom knows: OpenJPEG by way of Pillow does."""
    if not str(data_set.file_meta.TransferSyntaxUID).startswith("1.2.840.10008.1.2.4.2"):
        if data_set.BitsAllocated == 32 and not data_set.is_little_endian:
            # OW are words of 16 bits, each swapped for itself (PS3.5 6.2); pydicom takes them for words of 32 bits.
            words = numpy.frombuffer(data_set.PixelData, ">u2").astype("<u2").tobytes()
            data_set.PixelData = numpy.frombuffer(words, "<u4").astype(">u4").tobytes()
        return data_set.pixel_array
    frames = pydicom.encaps.generate_pixel_data_frame(data_set.PixelData, int(data_set.get("NumberOfFrames", 1)))
    arrays = [numpy.asarray(Image.open(io.BytesIO(frame))) for frame in frames]
    return arrays[0] if len(arrays) == 1 else numpy.stack(arrays)


def pixels(pair):
    one, other = (read(path) for path in pair.split("|"))
    a, b = decoded(one), decoded(other)
    if a.shape != b.shape:
        return "%s and %s" % (a.shape, b.shape)
    wrong = int((a.astype("i8") != b.astype("i8")).sum())
    return "%d samples differ" % wrong if wrong else ""


COMMANDS = {"elements": elements, "pixels": pixels}
answers = []
for argument in sys.argv[2:]:
    try:
        answers.append(COMMANDS[sys.argv[1]](argument))
    except Exception as error:  # what pydicom can't read is an answer too
        answers.append("%s: %s" % (type(error).__name__, error))
json.dump(answers, sys.stdout)
