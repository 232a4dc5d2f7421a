"""What the journal in a folder has."""

from cometflux import Journal


def records(folder):
    """Return the records by key."""
    with Journal(folder) as journal:
        return {record.key: record for record in journal.records()}


def record_in(folder):
    """Return the only record."""
    (record,) = records(folder).values()
    return record


def ids(folder):
    """Return the ids of the predictions, in order."""
    with Journal(folder) as journal:
        return sorted(record.prediction_id for record in journal.records() if record.prediction_id)


def count_states(folder):
    """Return the number of jobs in each state that a job is in, and that of all jobs as ``planned``."""
    with Journal(folder) as journal:
        return {name: count for name, count in journal.status().items() if count}
