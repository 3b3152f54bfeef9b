"""A model that an engineer imports in place of the one that comes with the application."""

import pytest

from app.imported_model import IMPORTED_NAME, forget_imported, import_model, load_model
from core.bundle import load_bundle
from core.errors import BundleError, InterpreterError
from core.signing import TrustPolicy


def test_an_imported_model_is_the_one_that_is_loaded_from_then_on(tiny_bundle, tmp_path):
    shipped = load_model(tmp_path)
    imported = import_model(tiny_bundle, tmp_path)
    assert imported.sha256 == load_bundle(tiny_bundle).sha256 != shipped.sha256
    assert load_model(tmp_path).sha256 == imported.sha256
    assert load_model(tmp_path).read_model() == load_bundle(tiny_bundle).read_model()


def test_a_model_that_is_named_goes_before_the_imported_one(tiny_bundle, tmp_path, default_bundle):
    import_model(tiny_bundle, tmp_path)
    assert load_model(tmp_path, default_bundle.path).sha256 == default_bundle.sha256


def test_forgetting_the_imported_model_brings_back_the_one_that_comes_with_tussis(tiny_bundle, tmp_path):
    shipped = load_model(tmp_path)
    forget_imported(tmp_path)
    import_model(tiny_bundle, tmp_path)
    forget_imported(tmp_path)
    assert load_model(tmp_path).sha256 == shipped.sha256
    assert not (tmp_path / IMPORTED_NAME).exists()


@pytest.mark.parametrize("model", [b"", b"not a model", None])
def test_a_model_that_cannot_be_run_is_refused_and_the_one_before_stays(
    write_bundle, tiny_bundle, tiny_model, tmp_path, model
):
    before = import_model(tiny_bundle, tmp_path)
    broken = write_bundle(model=tiny_model[:-2000] if model is None else model)
    with pytest.raises((BundleError, InterpreterError)):
        import_model(broken, tmp_path)
    assert load_model(tmp_path).sha256 == before.sha256


def test_a_bundle_that_nobody_trusted_signed_is_refused_where_a_signature_is_wanted(tiny_bundle, tmp_path):
    trust = TrustPolicy(require_signature=True)
    with pytest.raises(BundleError, match="not signed"):
        import_model(tiny_bundle, tmp_path, trust)
    assert not (tmp_path / IMPORTED_NAME).exists()


def test_an_imported_model_that_was_altered_is_refused_and_not_passed_over(tiny_bundle, tmp_path):
    import_model(tiny_bundle, tmp_path)
    content = bytearray((tmp_path / IMPORTED_NAME).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / IMPORTED_NAME).write_bytes(content)
    with pytest.raises(BundleError):
        load_model(tmp_path)
