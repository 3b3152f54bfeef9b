"""Checks HPKE against the vectors of RFC 9180 and against the library's own where it has one."""

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from app.crypto import hpke
from app.crypto.sealing import SealError, open_with_nonce, seal_with_nonce

# RFC 9180, appendix A.1.1: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-128-GCM, base mode, sequence number 0.
INFO = bytes.fromhex("4f6465206f6e2061204772656369616e2055726e")
EPHEMERAL_PRIVATE = bytes.fromhex("52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736")
ENCAPSULATED = bytes.fromhex("37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431")
PRIVATE = bytes.fromhex("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8")
PUBLIC = bytes.fromhex("3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d")
SHARED_SECRET = bytes.fromhex("fe0e18c9f024ce43799ae393c7e8fe8fce9d218875e8227b0187c04e7d2ea1fc")
AES_128_GCM, AES_128_KEY = b"\x00\x01", bytes.fromhex("4531685d41d65f03dc48f6b8302c05b0")
NONCE = bytes.fromhex("56d890e5accaaf011cff4b7d")
PLAIN = bytes.fromhex("4265617574792069732074727574682c20747275746820626561757479")
CIPHERTEXT = bytes.fromhex("f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a")


def test_the_shared_secret_is_that_of_the_rfc_on_both_sides():
    ephemeral = X25519PrivateKey.from_private_bytes(EPHEMERAL_PRIVATE)
    assert hpke.public_key(PRIVATE) == PUBLIC
    assert hpke.encapsulate(ephemeral, PUBLIC) == (ENCAPSULATED, SHARED_SECRET)
    assert hpke.decapsulate(PRIVATE, ENCAPSULATED) == SHARED_SECRET


def test_key_nonce_and_ciphertext_are_those_of_the_rfc():
    key, nonce = hpke.key_schedule(SHARED_SECRET, INFO, AES_128_GCM, 16)
    assert (key, nonce) == (AES_128_KEY, NONCE)
    assert seal_with_nonce(key, nonce, PLAIN, b"Count-0") == CIPHERTEXT
    assert open_with_nonce(key, nonce, CIPHERTEXT, b"Count-0") == PLAIN


def test_the_librarys_own_hpke_opens_ours_and_ours_opens_its():
    library = pytest.importorskip("cryptography.hazmat.primitives.hpke", reason="this cryptography has no HPKE")
    suite = library.Suite(library.KEM.X25519, library.KDF.HKDF_SHA256, library.AEAD.AES_256_GCM)
    if not hasattr(suite, "encrypt"):
        pytest.skip("this cryptography's HPKE has another form")
    private, public = X25519PrivateKey.from_private_bytes(PRIVATE), X25519PublicKey.from_public_bytes(PUBLIC)
    assert suite.decrypt(hpke.seal(PUBLIC, INFO, b"", PLAIN), private, INFO) == PLAIN
    assert hpke.open_(PRIVATE, INFO, b"", suite.encrypt(PLAIN, public, INFO)) == PLAIN


def test_what_was_sealed_for_a_key_opens_with_it_alone():
    private = hpke.generate_private_key()
    sealed = hpke.seal(hpke.public_key(private), INFO, b"record 1", PLAIN)
    assert hpke.open_(private, INFO, b"record 1", sealed) == PLAIN
    assert len(sealed) == len(PLAIN) + hpke.OVERHEAD_BYTES
    for key, info, bound_to in ((PRIVATE, INFO, b"record 1"), (private, b"", b"record 1"), (private, INFO, b"")):
        with pytest.raises(SealError):
            hpke.open_(key, info, bound_to, sealed)


def test_each_altered_byte_is_refused():
    sealed = hpke.seal(PUBLIC, INFO, b"", PLAIN)
    for place in range(len(sealed)):
        altered = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        with pytest.raises(SealError):
            hpke.open_(PRIVATE, INFO, b"", altered)


@pytest.mark.parametrize("public", [b"", PUBLIC[:31], PUBLIC + b"\0", bytes(32), b"\x01" + bytes(31)])
def test_a_key_of_wrong_length_or_small_order_is_refused(public):
    with pytest.raises(SealError, match="X25519"):
        hpke.seal(public, INFO, b"", PLAIN)


@pytest.mark.parametrize("n_bytes", [0, 31, 32, 47])
def test_a_part_of_a_message_is_refused(n_bytes):
    with pytest.raises(SealError):
        hpke.open_(PRIVATE, INFO, b"", hpke.seal(PUBLIC, INFO, b"", b"")[:n_bytes])


def test_a_private_key_of_wrong_length_is_refused():
    with pytest.raises(SealError, match="31 bytes"):
        hpke.public_key(PRIVATE[:31])
