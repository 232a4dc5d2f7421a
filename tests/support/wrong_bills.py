"""Bills that must not be there: of jobs that were paid for twice, or whose prediction nobody knows."""

from collections import Counter


def repeated(bills):
    """Return the prompts with more than one bill, and the number of their bills."""
    counts = Counter(bill.input["prompt"] for bill in bills)
    return {prompt: count for prompt, count in counts.items() if count > 1}


def lost(bills, ids, unknown):
    """Return the bills whose id is not in *ids*, and whose prompt is not that of an *unknown* submission."""
    return [bill for bill in bills if bill.id not in ids and bill.input["prompt"] not in unknown]
