package android.app;

import android.content.Context;
import android.content.Intent;
import android.os.Build;
import org.tussis.stub.Phone;

public final class PendingIntent {
    public static final int FLAG_IMMUTABLE = 1 << 26;
    public static final int FLAG_UPDATE_CURRENT = 1 << 27;

    public static PendingIntent getService(Context context, int requestCode, Intent intent, int flags) {
        if (Build.VERSION.SDK_INT >= 31 && (flags & FLAG_IMMUTABLE) == 0) {
            throw new IllegalArgumentException("targeting S+ requires FLAG_IMMUTABLE or FLAG_MUTABLE");
        }
        PendingIntent pending = new PendingIntent();
        pending.intent = intent;
        last = pending;
        return pending;
    }

    private Intent intent;
    private static PendingIntent last;

    /** The person touches what carries the last one. */
    public static void touchLast() {
        Phone.start(last.intent, false);
        Phone.settle();
    }
}
