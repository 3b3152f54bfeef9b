package android.app;

import org.tussis.stub.Since;

public final class NotificationChannel {
    final String id;
    final int importance;

    public NotificationChannel(String id, CharSequence name, int importance) {
        Since.api(26);
        this.id = id;
        this.importance = importance;
    }
}
