"""Checks that sealed bytes open only as they were sealed, against the vectors of RFC 5869 for the keys."""

import pytest

from app.crypto.sealing import (
    OVERHEAD_BYTES,
    SealError,
    derive_key,
    hkdf_expand,
    hkdf_extract,
    open_sealed,
    random_bytes,
    seal,
    wipe,
)

KEY = bytes(range(32))


def test_what_was_sealed_opens_with_the_same_key_and_binding():
    sealed = seal(KEY, b"a note", b"record 1")
    assert open_sealed(KEY, sealed, b"record 1") == b"a note"
    assert len(sealed) == len(b"a note") + OVERHEAD_BYTES
    assert b"a note" not in sealed


def test_the_same_bytes_are_never_sealed_alike():
    assert len({seal(KEY, b"", b"") for _ in range(100)}) == 100


def test_each_altered_bit_is_refused():
    sealed = seal(KEY, b"note", b"record 1")
    for bit in range(8 * len(sealed)):
        altered = bytearray(sealed)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SealError, match="altered"):
            open_sealed(KEY, bytes(altered), b"record 1")


@pytest.mark.parametrize("n_bytes", [0, 1, 12, 27])
def test_a_part_is_refused(n_bytes):
    with pytest.raises(SealError):
        open_sealed(KEY, seal(KEY, b"", b"")[:n_bytes], b"")


@pytest.mark.parametrize(("key", "bound_to"), [(KEY[::-1], b"record 1"), (KEY, b"record 2"), (KEY[:31], b"record 1")])
def test_another_key_or_binding_is_refused(key, bound_to):
    with pytest.raises(SealError):
        open_sealed(key, seal(KEY, b"note", b"record 1"), bound_to)


def test_keys_agree_with_rfc_5869_appendix_a1():
    pseudorandom_key = hkdf_extract(bytes(range(13)), b"\x0b" * 22)
    assert pseudorandom_key.hex() == "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"
    assert hkdf_expand(pseudorandom_key, bytes(range(0xF0, 0xFA)), 42).hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )


def test_each_purpose_has_its_own_key():
    keys = {derive_key(KEY, b"row"), derive_key(KEY, b"sound"), derive_key(KEY, b"row", b"salt"), KEY}
    assert len(keys) == 4 and {len(key) for key in keys} == {32}


def test_a_wiped_secret_is_zeros():
    secret = bytearray(random_bytes(32))
    wipe(secret)
    assert secret == bytes(32)
