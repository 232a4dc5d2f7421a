import attrs
import pytest

from cometflux.values import Value


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Boat(Value):
    name: str
    sails: object = None
    _log: object = attrs.field(default=None, eq=False, repr=False)
    picture: bytes = attrs.field(default=b"", repr=len)


class Ferry(Boat):
    __slots__ = ()


def test_values_are_equal_when_their_fields_are():
    assert Boat(name="a", sails=[2]) == Boat(name="a", sails=[2])
    assert Boat(name="a") != Boat(name="b")
    assert Boat(name="a", picture=b"1") != Boat(name="a", picture=b"2")


def test_equal_values_have_one_hash():
    assert 1 == len({Boat(name="a", log=1), Boat(name="a", log=2)})
    assert 3 == len({Boat(name="a"), Boat(name="b"), Ferry(name="a")})


def test_a_value_that_can_change_inside_has_no_hash():
    with pytest.raises(TypeError):
        hash(Boat(name="a", sails=[2]))


def test_values_of_two_classes_are_never_equal():
    assert Boat(name="a") != Ferry(name="a")
    assert Boat(name="a") != "a"


def test_a_field_that_is_not_compared_makes_no_difference():
    assert Boat(name="a", log=1) == Boat(name="a", log=2)


def test_a_value_is_shown_field_by_field_as_each_field_asks_for():
    assert "Boat(name='a', sails=3, picture=5)" == repr(Boat(name="a", sails=3, log="hidden", picture=b"12345"))
    assert "Ferry(name='b', sails=None, picture=0)" == repr(Ferry(name="b"))


def test_a_value_within_itself_is_shown_once():
    sails = []
    boat = Boat(name="a", sails=sails)
    sails.append(boat)
    assert "Boat(name='a', sails=[...], picture=0)" == repr(boat)


def test_a_value_has_room_for_its_fields_only():
    assert not hasattr(Boat(name="a"), "__dict__")
