"""What is kept to be asked for again."""

from isocenter.archive.kept import Kept


def test_the_latest_asked_for_stay() -> None:
    kept = Kept[bytes](2, 1000, len)
    kept.keep("a", b"1")
    kept.keep("b", b"2")
    assert kept.get("a") == b"1"
    kept.keep("c", b"3")
    assert [kept.get(key) for key in "abc"] == [b"1", None, b"3"]


def test_bytes_are_bounded_and_one_value_does_not_push_out_the_others() -> None:
    kept = Kept[bytes](100, 40, len)
    for number in range(6):
        kept.keep(number, bytes(10))
    kept.keep("large", bytes(11))
    assert [kept.get(number) is not None for number in range(6)] == [False, False, True, True, True, True]
    assert kept.get("large") is None


def test_what_is_kept_is_not_counted_twice() -> None:
    kept = Kept[bytes](10, 40, len)
    for _ in range(20):
        kept.keep("same", bytes(10))
    kept.keep("other", bytes(10))
    assert kept.get("same")
    assert kept.get("other")
