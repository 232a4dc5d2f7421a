import pytest

from cometflux.engine.download_places import Shares


def take_all(shares, hosts):
    """Let *hosts* take places in turn until each must wait; return how many each has."""
    held = dict.fromkeys(hosts, 0)
    while any(took := [host for host in hosts if shares.take(host)]):
        for host in took:
            held[host] += 1
    return [*held.values()]


@pytest.mark.parametrize(
    ("hosts", "held"), [("a", [16]), ("ab", [11, 11]), ("abc", [8, 8, 8]), ("abcdefg", [4, 4, 4, 4, 4, 4, 4])]
)
def test_hosts_share_the_places_and_leave_as_many_free_as_one_has(hosts, held):
    assert held == take_all(Shares(32), hosts)


def test_after_hosts_that_took_all_they_could_the_next_finds_a_place():
    shares = Shares(32)
    assert [16, 8, 4, 2, 1] == [take_all(shares, host)[0] for host in "abcde"]
    assert shares.take("f")
    assert not shares.take("g")


def test_a_place_given_back_goes_to_the_host_that_has_none():
    shares = Shares(32)
    for host in "abcdef":
        take_all(shares, host)
    shares.give_back("a")
    assert not shares.take("a")
    assert not shares.take("f")
    assert shares.take("g")


def test_a_host_that_gave_all_back_is_as_new():
    shares = Shares(4)
    for _ in range(3):
        assert [2] == take_all(shares, "a")
        for _ in range(2):
            shares.give_back("a")
    assert [2] == take_all(shares, "b")
