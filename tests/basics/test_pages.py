from itertools import chain

import pytest

from cometflux.basics.pages import PAGE, pages


@pytest.mark.parametrize(
    ("count", "lengths"),
    [(0, []), (1, [1]), (3, [3]), (4, [3, 1]), (6, [3, 3])],
    ids=["none", "one", "a page", "more", "two pages"],
)
def test_each_item_is_in_one_page(count, lengths):
    found = [*pages(iter(range(count)), 3)]
    assert lengths == [*map(len, found)]
    assert [*range(count)] == [*chain.from_iterable(found)]


def test_only_the_items_of_one_page_are_taken():
    taken = []
    next(pages(map(taken.append, range(3 * PAGE))))
    assert PAGE == len(taken)
