"""Names the jobs of an older journal as this version names them, so that none is bought again in another spelling.

Before version 4 of the journal, a prompt with other line ends, another Unicode form or a blank at its end was another
job, and so was a number that had been stored in four bytes.
"""

import itertools
from collections.abc import Callable

import attrs

from cometflux.errors import InputError
from cometflux.images import reference_files
from cometflux.journal.record import JobRecord, identify
from cometflux.protocol import encoding


def respelled(record: JobRecord, is_taken: Callable[[str], bool], following: dict[str, int]) -> JobRecord:
    """Return a record with the identity and the fingerprint of today; the same object if they are the same.

    *is_taken* says whether another job has an identity. *following* notes for each fingerprint the number up to which
    none is free, so that many identical jobs take little time; give the same one for each record of a journal. Reads
    the files in the input; blocks.
    """
    # No file is read for the many inputs that have only one spelling.
    if not record.fingerprint or encoding.canonical(record.input) == record.input:
        return record
    try:
        described = reference_files.describe_input(record.input)
    except InputError:
        return record
    if encoding.digest(record.model, described) != record.fingerprint:
        # A file has changed: what was bought shows the old one.
        return record
    fingerprint = encoding.fingerprint(record.model, described)
    identity, key = _renamed(record, fingerprint, is_taken, following)
    return attrs.evolve(record, identity=identity, key=key, fingerprint=fingerprint)


def _renamed(
    record: JobRecord, fingerprint: str, is_taken: Callable[[str], bool], following: dict[str, int]
) -> tuple[str, str]:
    if record.identity.startswith("job:"):
        # It ends after as many numbers as there are jobs at the latest.
        numbers = itertools.count(following.get(fingerprint, 1))
        number = next(each for each in numbers if not is_taken(identify(None, fingerprint, each)))
        following[fingerprint] = number + 1
        return identify(None, fingerprint, number), record.key
    # The tool server makes its keys from the fingerprint.
    own, hyphen, variation = record.key.rpartition("-")
    key = f"{fingerprint[:16]}-{variation}"
    if hyphen and own == record.fingerprint[:16] and not is_taken(identify(key, "", 1)):
        return identify(key, "", 1), key
    return record.identity, record.key
