"""Tests how the microphone is asked for: once by Android's question, and by its settings when denied for ever."""

import pytest

from app.devices.android.permissions import POST_NOTIFICATIONS, RECORD_AUDIO, Permissions


@pytest.mark.parametrize(("api", "asked"), [(24, RECORD_AUDIO), (33, f"{RECORD_AUDIO} {POST_NOTIFICATIONS}")])
def test_the_first_need_shows_androids_question(phone, api, asked):
    phone.set_sdk(api)
    permissions = Permissions()
    assert not permissions.may_record()
    permissions.ask_to_record()
    phone.phone.settle()
    assert list(phone.desk.allTold()) == [f"permissions {asked}"]
    assert permissions.may_record()


def test_what_was_denied_for_ever_leads_to_the_settings(phone):
    phone.set("Desk.isDeniedForEver", True)
    permissions = Permissions()
    permissions.ask_to_record()
    permissions.ask_to_record()
    phone.phone.settle()
    assert list(phone.desk.allTold())[1] == "shows android.settings.APPLICATION_DETAILS_SETTINGS package:org.tussis.app"
    assert not permissions.may_record()
