package android.app;

import org.tussis.stub.Phone;
import org.tussis.stub.Since;

public class NotificationManager {
    public static final int IMPORTANCE_LOW = 2;

    public void createNotificationChannel(NotificationChannel channel) {
        Since.api(26);
        Phone.channels.put(channel.id, channel.importance);
    }

    public void notify(int id, Notification notification) {
        Phone.notifications.put(id, notification.text());
    }
}
