package android.app;

import android.content.Context;
import android.graphics.drawable.Icon;
import org.tussis.stub.Since;

public class Notification {
    public static final int PRIORITY_LOW = -1;
    private CharSequence title;
    private CharSequence words;
    private CharSequence action;
    private boolean isOngoing;

    public String text() {
        return title + " | " + words + " | " + action + (isOngoing ? " | ongoing" : "");
    }

    public static class Action {
        private final CharSequence title;

        private Action(CharSequence title) {
            this.title = title;
        }

        public static final class Builder {
            private final CharSequence title;

            public Builder(Icon icon, CharSequence title, PendingIntent intent) {
                this.title = title;
            }

            public Action build() {
                return new Action(title);
            }
        }
    }

    public static class Builder {
        private final Notification notification = new Notification();
        private boolean hasIcon;

        public Builder(Context context) {}

        public Builder(Context context, String channelId) {
            Since.api(26);
        }

        public Builder setPriority(int priority) {
            return this;
        }

        public Builder setContentTitle(CharSequence title) {
            notification.title = title;
            return this;
        }

        public Builder setContentText(CharSequence text) {
            notification.words = text;
            return this;
        }

        public Builder setSmallIcon(int icon) {
            hasIcon = icon != 0;
            return this;
        }

        public Builder setOngoing(boolean ongoing) {
            notification.isOngoing = ongoing;
            return this;
        }

        public Builder addAction(Action action) {
            notification.action = action.title;
            return this;
        }

        public Notification build() {
            if (!hasIcon) {
                throw new IllegalArgumentException("a notification needs a small icon");
            }
            return notification;
        }
    }
}
