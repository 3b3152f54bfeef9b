import json
import time

import pytest

from core.errors import BundleError
from core.json_fields import parse_object


def many_keys(n: int) -> bytes:
    """An object of so many keys, of which the last stands twice."""
    keys = [*range(n), n - 1]
    return ("{" + ",".join(f'"{key}":0' for key in keys) + "}").encode()


def test_a_key_that_stands_twice_is_found_in_time_that_grows_with_the_file_and_not_with_its_square() -> None:
    started_s = time.process_time()
    with pytest.raises(BundleError, match='the key "199999" stands twice in one object'):
        parse_object(many_keys(200_000), "a.json", BundleError)
    assert time.process_time() - started_s < 5


@pytest.mark.parametrize("value", [{"a": [{}, {}, {}]}, [[0, 0], 0], {"a": {"b": {"c": 0, "d": 0}}}])
def test_an_object_is_small_if_all_that_lies_in_it_is_few(value: object) -> None:
    fields = parse_object(json.dumps({"notes": {"x": value}}).encode(), "a.json", BundleError)
    assert fields.small_object("notes", 6) == {"x": value}
    with pytest.raises(BundleError, match=r'a\.json: "notes" is an object; expected an object of at most 4 values'):
        fields.small_object("notes", 4)
