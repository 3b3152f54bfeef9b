"""Seals for the holder of a public key: HPKE (RFC 9180), base mode, X25519, HKDF-SHA256, AES-256-GCM."""

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from app.crypto.sealing import (
    KEY_BYTES,
    NONCE_BYTES,
    TAG_BYTES,
    SealError,
    hkdf_expand,
    hkdf_extract,
    open_with_nonce,
    seal_with_nonce,
)

ENCAPSULATED_BYTES = 32
OVERHEAD_BYTES = ENCAPSULATED_BYTES + TAG_BYTES
# RFC 9180, section 7: the numbers of DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and AES-256-GCM.
_KEM_ID, _KDF_ID, _AES_256_GCM_ID = (number.to_bytes(2, "big") for number in (0x0020, 0x0001, 0x0002))
_KEM_SUITE = b"KEM" + _KEM_ID
_BASE_MODE = b"\x00"
_SECRET_BYTES = 32


def seal(public: bytes, info: bytes, aad: bytes, plain: bytes) -> bytes:
    """Seal `plain` so that only the holder of the private key opens it.

    Parameters
    ----------
    public : bytes, 32
        The receiver's X25519 key.
    info, aad : bytes
        What has to be given again to open it. They are not in the result.

    Returns
    -------
    bytes
        The encapsulated key (32 bytes), the ciphertext, the tag (16 bytes).

    Raises
    ------
    SealError
        If `public` is no key of this kind.
    """
    return _seal(X25519PrivateKey.generate(), public, info, aad, plain)


def open_(private: bytes, info: bytes, aad: bytes, sealed: bytes) -> bytes:
    """Undo `seal` with the private key (32 bytes).

    Raises
    ------
    SealError
        If the key, `info` or `aad` is another, or any bit of `sealed` is.
    """
    encapsulated = sealed[:ENCAPSULATED_BYTES]
    key, nonce = key_schedule(decapsulate(private, encapsulated), info)
    return open_with_nonce(key, nonce, sealed[ENCAPSULATED_BYTES:], aad)


def generate_private_key() -> bytes:
    """A new X25519 private key, 32 bytes."""
    return X25519PrivateKey.generate().private_bytes_raw()


def public_key(private: bytes) -> bytes:
    """The public key (32 bytes) of a private one; raises `SealError`."""
    return _private_key(private).public_key().public_bytes_raw()


def _seal(ephemeral: X25519PrivateKey, public: bytes, info: bytes, aad: bytes, plain: bytes) -> bytes:
    encapsulated, shared_secret = encapsulate(ephemeral, public)
    key, nonce = key_schedule(shared_secret, info)
    return encapsulated + seal_with_nonce(key, nonce, plain, aad)


def encapsulate(ephemeral: X25519PrivateKey, public: bytes) -> tuple[bytes, bytes]:
    """The encapsulated key and the shared secret, 32 bytes each (RFC 9180, section 4.1)."""
    encapsulated = ephemeral.public_key().public_bytes_raw()
    return encapsulated, _shared_secret(_exchange(ephemeral, public), encapsulated + public)


def decapsulate(private: bytes, encapsulated: bytes) -> bytes:
    """The shared secret of `encapsulate`, 32 bytes, with the receiver's private key."""
    receiver = _private_key(private)
    public = receiver.public_key().public_bytes_raw()
    return _shared_secret(_exchange(receiver, encapsulated), encapsulated + public)


def key_schedule(
    shared_secret: bytes, info: bytes, aead_id: bytes = _AES_256_GCM_ID, n_key_bytes: int = KEY_BYTES
) -> tuple[bytes, bytes]:
    """The key and the first nonce (RFC 9180, section 5.1) in base mode, for one message."""
    suite = b"HPKE" + _KEM_ID + _KDF_ID + aead_id
    hashes = (_extract(suite, b"", label, value) for label, value in ((b"psk_id_hash", b""), (b"info_hash", info)))
    context = _BASE_MODE + b"".join(hashes)
    secret = _extract(suite, shared_secret, b"secret", b"")
    key = _expand(suite, secret, b"key", context, n_key_bytes)
    return key, _expand(suite, secret, b"base_nonce", context, NONCE_BYTES)


def _shared_secret(exchanged: bytes, context: bytes) -> bytes:
    secret = _extract(_KEM_SUITE, b"", b"eae_prk", exchanged)
    return _expand(_KEM_SUITE, secret, b"shared_secret", context, _SECRET_BYTES)


def _extract(suite: bytes, salt: bytes, label: bytes, secret: bytes) -> bytes:
    return hkdf_extract(salt, b"HPKE-v1" + suite + label + secret)


def _expand(suite: bytes, secret: bytes, label: bytes, info: bytes, n_bytes: int) -> bytes:
    return hkdf_expand(secret, n_bytes.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info, n_bytes)


def _exchange(private: X25519PrivateKey, public: bytes) -> bytes:
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as reason:  # another length, or a point of small order
        raise SealError(f"The public key of {len(public)} bytes is not a usable X25519 key of 32 bytes.") from reason


def _private_key(private: bytes) -> X25519PrivateKey:
    try:
        return X25519PrivateKey.from_private_bytes(private)
    except ValueError as reason:
        raise SealError(f"The private key has {len(private)} bytes; expected 32.") from reason
