"""What pydicom and Python's codecs make of files and bytes, as JSON on stdout.

pydicom-oracle.py files TABLE FILE...   TABLE: JSON list of [keyword, vr] that are looked at
pydicom-oracle.py codecs <REQUESTS      REQUESTS: JSON list of [codec, hexadecimal bytes]
pydicom-oracle.py uids
"""

import json
import sys
import warnings

import pydicom
from pydicom.multival import MultiValue
from pydicom.valuerep import PersonName

warnings.simplefilter("ignore")

TEXT = ("LO", "LT", "PN", "SH", "ST", "UC", "UT")


def text(value):
    """Decoded text, several values joined; numbers as they were written."""
    if value is None:
        return ""
    if isinstance(value, (list, MultiValue)):
        return "\\".join(text(part) for part in value)
    if isinstance(value, PersonName):
        return str(value)
    return getattr(value, "original_string", None) or str(value)


def texts(data_set, path, found):
    for element in data_set:
        if element.tag.is_private:
            continue
        name = path + "%08X" % element.tag
        if element.VR == "SQ":
            for index, item in enumerate(element.value):
                texts(item, "%s[%d]." % (name, index), found)
        elif element.VR in TEXT:
            found[name] = text(element.value)


def read(path, table):
    data_set = pydicom.dcmread(path, force=True)
    values = {}
    for keyword, vr in table:
        if keyword not in data_set:
            continue
        value = data_set[keyword].value
        if vr == "SQ":
            continue
        if isinstance(value, MultiValue) and vr == "US":
            value = value[0]
        values[keyword] = text(value)
    found = {}
    texts(data_set, "", found)
    syntax = getattr(data_set.file_meta, "TransferSyntaxUID", None)
    return {
        "values": values,
        "texts": found,
        "explicit": not data_set.is_implicit_VR,
        "littleEndian": data_set.is_little_endian,
        "transferSyntax": None if syntax is None else str(syntax),
    }


def files(table, *paths):
    answers = []
    for path in paths:
        try:
            answers.append(read(path, json.loads(table)))
        except Exception as error:
            answers.append({"error": str(error)})
    return answers


def codecs():
    return [bytes.fromhex(data).decode(codec, "replace") for codec, data in json.load(sys.stdin)]


def uids():
    from pydicom._uid_dict import UID_dictionary

    return [[uid, *entry] for uid, entry in UID_dictionary.items()]


COMMANDS = {"files": files, "codecs": codecs, "uids": uids}
json.dump(COMMANDS[sys.argv[1]](*sys.argv[2:]), sys.stdout)
