package android.app;

import android.content.Context;
import android.content.Intent;
import android.content.pm.ServiceInfo;
import android.os.Build;
import android.os.IBinder;
import org.tussis.stub.Phone;
import org.tussis.stub.Since;

public abstract class Service extends Context {
    public static final int START_NOT_STICKY = 2;

    public void onCreate() {}

    public int onStartCommand(Intent intent, int flags, int startId) {
        return START_NOT_STICKY;
    }

    public void onTaskRemoved(Intent rootIntent) {}

    public void onDestroy() {}

    public abstract IBinder onBind(Intent intent);

    public final void startForeground(int id, Notification notification) {
        refuse(0);
        Phone.cameToForeground(this, id, notification.text(), 0);
    }

    public final void startForeground(int id, Notification notification, int foregroundServiceType) {
        Since.api(29);
        refuse(foregroundServiceType);
        Phone.cameToForeground(this, id, notification.text(), foregroundServiceType);
    }

    public final void stopForeground(boolean removeNotification) {
        Phone.notifications.clear();
    }

    public final void stopSelf() {
        Phone.destroy(this);
    }

    private static void refuse(int type) {
        boolean isMicrophone = type == ServiceInfo.FOREGROUND_SERVICE_TYPE_MICROPHONE;
        if (Build.VERSION.SDK_INT >= 34 && isMicrophone && !Phone.granted.contains("android.permission.RECORD_AUDIO")) {
            throw new SecurityException("Starting FGS with type microphone requires RECORD_AUDIO");
        }
        if (Build.VERSION.SDK_INT >= 34 && type == 0) {
            throw new IllegalArgumentException("Starting FGS without a type");
        }
    }
}
