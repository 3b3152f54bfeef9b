package android.content;

import android.app.NotificationManager;
import android.content.pm.ApplicationInfo;
import android.content.pm.PackageManager;
import android.content.res.Resources;
import android.media.AudioManager;
import android.os.Build;
import android.os.PowerManager;
import android.os.Vibrator;
import java.io.File;
import org.tussis.stub.Desk;
import org.tussis.stub.Phone;
import org.tussis.stub.Since;

/** In Android abstract; here the system that answers is always the stub Phone. */
public abstract class Context {
    public static final String AUDIO_SERVICE = "audio";
    public static final String NOTIFICATION_SERVICE = "notification";
    public static final String VIBRATOR_SERVICE = "vibrator";
    public static final String POWER_SERVICE = "power";

    public int checkSelfPermission(String permission) {
        boolean isGranted = Phone.granted.contains(permission);
        return isGranted ? PackageManager.PERMISSION_GRANTED : PackageManager.PERMISSION_DENIED;
    }

    public Object getSystemService(String name) {
        switch (name) {
            case POWER_SERVICE:
                return new PowerManager();
            case NOTIFICATION_SERVICE:
                return new NotificationManager();
            case AUDIO_SERVICE:
                return new AudioManager();
            case VIBRATOR_SERVICE:
                return new Vibrator();
            default:
                return null;
        }
    }

    public ContentResolver getContentResolver() {
        return new ContentResolver();
    }

    public Intent registerReceiver(BroadcastReceiver receiver, IntentFilter filter) {
        return new Intent().putExtra("temperature", Desk.batteryTenths).putExtra("level", 40).putExtra("scale", 50)
                .putExtra("plugged", 2);
    }

    public ApplicationInfo getApplicationInfo() {
        ApplicationInfo information = new ApplicationInfo();
        information.flags = Desk.isRelease ? 0 : ApplicationInfo.FLAG_DEBUGGABLE;
        return information;
    }

    public File getFilesDir() {
        return new File(Desk.filesFolder);
    }

    public Resources getResources() {
        return new Resources();
    }

    public String getPackageName() {
        return "org.tussis.app";
    }

    public ComponentName startService(Intent intent) {
        if (Build.VERSION.SDK_INT >= 26 && Phone.importance > 100) {
            throw new IllegalStateException("Not allowed to start service Intent: app is in background");
        }
        Phone.tell("startService");
        Phone.start(intent, false);
        return new ComponentName();
    }

    public ComponentName startForegroundService(Intent intent) {
        Since.api(26);
        if (Build.VERSION.SDK_INT >= 31 && Phone.importance > 100) {
            throw new IllegalStateException("startForegroundService() not allowed due to mAllowStartForeground false");
        }
        Phone.tell("startForegroundService");
        Phone.start(intent, true);
        return new ComponentName();
    }

    public boolean stopService(Intent intent) {
        Phone.stop(intent.target);
        return true;
    }
}
