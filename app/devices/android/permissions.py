"""Asks Android for the microphone and for notifications, when they are first needed."""

from app.devices.android.activity import activity, on_ui_thread
from app.devices.android.java import cast_to, java

RECORD_AUDIO = "android.permission.RECORD_AUDIO"
POST_NOTIFICATIONS = "android.permission.POST_NOTIFICATIONS"
NOTIFICATIONS_SDK = 33
REQUEST_CODE = 6001


class Permissions:
    """What the person allowed. Once "denied for ever", asking shows the settings page of the application instead."""

    def __init__(self) -> None:
        self._n_asked = 0

    def may_record(self) -> bool:
        """Whether the microphone may be used now."""
        return self._has(RECORD_AUDIO)

    def is_denied_for_ever(self) -> bool:
        """Whether Android asks no more, as far as it says so: only after it was asked once."""
        asks_again = activity().shouldShowRequestPermissionRationale(RECORD_AUDIO)
        return self._n_asked > 0 and not asks_again and not self.may_record()

    def ask_to_record(self) -> None:
        """Show Android's question, or the settings page where Android asks no more; returns at once."""
        is_denied, self._n_asked = self.is_denied_for_ever(), self._n_asked + 1
        if not is_denied:
            wanted = [RECORD_AUDIO]
            if java("android.os.Build$VERSION").SDK_INT >= NOTIFICATIONS_SDK and not self._has(POST_NOTIFICATIONS):
                wanted.append(POST_NOTIFICATIONS)
            on_ui_thread(lambda: activity().requestPermissions(wanted, REQUEST_CODE))
        else:
            self.open_settings()

    def can_open_settings(self) -> bool:
        """See `app.devices.facilities.Permission`."""
        return True

    def open_settings(self) -> None:
        """Show the application's page in the phone's settings; returns at once."""
        on_ui_thread(self._show_settings)

    def _show_settings(self) -> None:
        page = java("android.provider.Settings").ACTION_APPLICATION_DETAILS_SETTINGS
        intent = java("android.content.Intent")(page)
        intent.setData(java("android.net.Uri").fromParts("package", activity().getPackageName(), None))
        activity().startActivity(intent)

    def _has(self, permission: str) -> bool:
        granted = java("android.content.pm.PackageManager").PERMISSION_GRANTED
        return cast_to("android.content.Context", activity()).checkSelfPermission(permission) == granted
