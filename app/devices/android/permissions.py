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

    def ask_to_record(self) -> None:
        """Show Android's question, or the settings page where Android asks no more; returns at once."""
        is_first, self._n_asked = self._n_asked == 0, self._n_asked + 1
        if is_first or activity().shouldShowRequestPermissionRationale(RECORD_AUDIO):
            wanted = [RECORD_AUDIO]
            if java("android.os.Build$VERSION").SDK_INT >= NOTIFICATIONS_SDK and not self._has(POST_NOTIFICATIONS):
                wanted.append(POST_NOTIFICATIONS)
            on_ui_thread(lambda: activity().requestPermissions(wanted, REQUEST_CODE))
        else:
            on_ui_thread(self.open_settings)

    def open_settings(self) -> None:
        """Show the application's page in the phone's settings."""
        page = java("android.provider.Settings").ACTION_APPLICATION_DETAILS_SETTINGS
        intent = java("android.content.Intent")(page)
        intent.setData(java("android.net.Uri").fromParts("package", activity().getPackageName(), None))
        activity().startActivity(intent)

    def _has(self, permission: str) -> bool:
        granted = java("android.content.pm.PackageManager").PERMISSION_GRANTED
        return cast_to("android.content.Context", activity()).checkSelfPermission(permission) == granted
