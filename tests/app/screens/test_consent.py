"""The consent, by taps and by finger."""

import pytest

from tests.app.field_places import add_participant


@pytest.fixture
def consent(opened, stage):
    shell = opened()
    participant_id = add_participant(shell.work.casebook, consents=False)
    shell.work.navigation.go("participant", participant_id=participant_id)
    shell.work.navigation.go("consent", participant_id=participant_id)
    stage.draw()
    return shell, participant_id


def can_save(shell):
    return not shell.page._agree.disabled


@pytest.mark.long
def test_a_consent_needs_a_tick_and_a_signature(consent, stage):
    shell, _ = consent
    assert not can_save(shell)
    stage.press_words("The participant read or heard this text and agrees.")
    assert not can_save(shell)
    stage.drag(shell.page.ids.pad, [(0.5, 0.5)])  # a tap is no signature
    assert not can_save(shell)
    stage.drag(shell.page.ids.pad, [(0.1, 0.3), (0.3, 0.8), (0.5, 0.2), (0.9, 0.6)])
    assert can_save(shell)
    stage.press_words("Clear the signature")
    assert not can_save(shell)


@pytest.mark.long
def test_a_signed_consent_is_kept_with_its_language_and_the_texts_hash(consent, stage):
    shell, participant_id = consent
    stage.press_words("Kiswahili")
    assert shell.work.study.consent.text("sw").splitlines()[0] in stage.text
    stage.press_words("The participant read or heard this text and agrees.")
    stage.drag(shell.page.ids.pad, [(0.1, 0.3), (0.3, 0.8), (0.5, 0.2), (0.9, 0.6)])
    stage.press_words("Save the consent")
    stage.wait(lambda: shell.work.navigation.top.name == "participant")
    kept = shell.work.casebook.consent(participant_id)
    assert (kept.language, kept.sha256) == ("sw", shell.work.study.consent.sha256)
    assert len(kept.strokes[0]) >= 4
    assert "Start recording" in stage.text


def test_what_was_ticked_and_signed_is_there_again_after_a_pause(consent, stage):
    shell, _ = consent
    stage.press_words("The participant read or heard this text and agrees.")
    stage.drag(shell.page.ids.pad, [(0.1, 0.3), (0.3, 0.8), (0.5, 0.2), (0.9, 0.6)])
    strokes = [list(stroke) for stroke in shell.page.ids.pad.strokes]
    shell.rebuild()
    stage.draw()
    assert [list(stroke) for stroke in shell.page.ids.pad.strokes] == strokes
    assert can_save(shell)


def test_a_new_text_asks_again(opened, stage):
    from dataclasses import replace

    shell = opened()
    work = shell.work
    participant_id = add_participant(work.casebook)
    work.casebook.study = work.study = replace(work.study, consent=replace(work.study.consent, version="2"))
    work.navigation.go("participant", participant_id=participant_id)
    stage.draw()
    assert "Consent text changed: ask again" in stage.text
    assert "Start recording" not in stage.text
    stage.press_words("Read and sign the consent")
    assert "The study changed its text since this participant signed." in stage.text
