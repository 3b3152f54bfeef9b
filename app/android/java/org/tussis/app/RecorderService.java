package org.tussis.app;

import android.Manifest;
import android.app.ActivityManager;
import android.app.Notification;
import android.app.NotificationChannel;
import android.app.NotificationManager;
import android.app.PendingIntent;
import android.app.Service;
import android.content.Context;
import android.content.Intent;
import android.content.pm.PackageManager;
import android.content.pm.ServiceInfo;
import android.graphics.drawable.Icon;
import android.os.Build;
import android.os.IBinder;
import android.os.PowerManager;
import android.os.Process;

/**
 * Keeps the process and the processor awake while Python records, and says so in a notification with a Stop action.
 *
 * It records nothing itself. Python polls takeRequest() and, asked to close, answers with closed().
 */
public final class RecorderService extends Service {
    public static final int OK = 0;
    public static final int NO_PERMISSION = 1;
    public static final int NOT_VISIBLE = 2;
    public static final int REFUSED = 3; // by Android, when the service was already starting

    public static final int NOTHING = 0;
    public static final int STOP = 1; // a person touched Stop in the notification
    public static final int CLOSE = 2; // the app was swiped away: the process ends when closed() is called

    private static final String ACTION_START = "org.tussis.app.START";
    private static final String ACTION_STOP = "org.tussis.app.STOP";
    private static final String CHANNEL = "recording";
    private static final int NOTIFICATION_ID = 1;
    private static final long CLOSE_MS = 3000;

    private static final Object LOCK = new Object();
    private static int request = NOTHING;
    private static int state = OK;
    private static boolean isStarting; // between startForegroundService and startForeground a stop ends the app
    private static boolean isRunning;
    private static boolean isStopWanted;
    private static boolean isClosed;
    private static String[] words = {"", "", "", ""};

    private PowerManager.WakeLock wakeLock;

    /** Start from a visible screen; OK, or why not. Words: the channel's name, a title, a text, the Stop action. */
    public static int start(Context context, String channel, String title, String text, String stop) {
        if (context.checkSelfPermission(Manifest.permission.RECORD_AUDIO) != PackageManager.PERMISSION_GRANTED) {
            return NO_PERMISSION;
        }
        if (!isVisible()) {
            return NOT_VISIBLE;
        }
        synchronized (LOCK) {
            words = new String[] {channel, title, text, stop};
            request = NOTHING;
            isClosed = false;
            isStopWanted = false;
            isStarting = true;
            state = OK;
        }
        Intent intent = new Intent(context, RecorderService.class).setAction(ACTION_START);
        try {
            if (Build.VERSION.SDK_INT >= 26) {
                Api26.start(context, intent);
            } else {
                context.startService(intent);
            }
        } catch (IllegalStateException refusal) { // the screen went away in this moment
            synchronized (LOCK) {
                isStarting = false;
            }
            return NOT_VISIBLE;
        }
        return OK;
    }

    /** Show another text in the notification. */
    public static void say(Context context, String text) {
        synchronized (LOCK) {
            words[2] = text;
            if (!isRunning) {
                return;
            }
        }
        NotificationManager notifications =
                (NotificationManager) context.getSystemService(Context.NOTIFICATION_SERVICE);
        notifications.notify(NOTIFICATION_ID, notification(context));
    }

    /** End the service; without effect where it does not run. */
    public static void stop(Context context) {
        synchronized (LOCK) {
            if (isStarting) {
                isStopWanted = true;
                return;
            }
        }
        context.stopService(new Intent(context, RecorderService.class));
    }

    /** Whether the service runs in the foreground. */
    public static boolean isRunning() {
        synchronized (LOCK) {
            return isRunning;
        }
    }

    /** OK, or REFUSED where Android did not let a service that had been started come to the foreground. */
    public static int state() {
        synchronized (LOCK) {
            return state;
        }
    }

    /** What Python is asked to do, told once: NOTHING, STOP or CLOSE. */
    public static int takeRequest() {
        synchronized (LOCK) {
            int asked = request;
            request = NOTHING;
            return asked;
        }
    }

    /** Python says that the recording is closed. */
    public static void closed() {
        synchronized (LOCK) {
            isClosed = true;
            LOCK.notifyAll();
        }
    }

    @Override
    public int onStartCommand(Intent intent, int flags, int startId) {
        if (intent != null && ACTION_STOP.equals(intent.getAction())) {
            ask(STOP);
            if (!isRunning()) { // a notification of an earlier process
                stopSelf();
            }
            return START_NOT_STICKY;
        }
        try {
            if (Build.VERSION.SDK_INT >= 30) {
                Api30.startForeground(this, NOTIFICATION_ID, notification(this));
            } else {
                startForeground(NOTIFICATION_ID, notification(this));
            }
        } catch (SecurityException | IllegalStateException refusal) {
            synchronized (LOCK) {
                state = REFUSED;
                isStarting = false;
            }
            stopSelf();
            return START_NOT_STICKY;
        }
        stayAwake();
        synchronized (LOCK) {
            isRunning = true;
            isStarting = false;
            if (isStopWanted) {
                stopSelf();
            }
        }
        return START_NOT_STICKY;
    }

    /** SDL's activity does not come back in a process that outlived it: close the recording, then end the process. */
    @Override
    public void onTaskRemoved(Intent rootIntent) {
        ask(CLOSE);
        new Thread(this::endWhenClosed, "tussis-close").start();
    }

    @Override
    public void onDestroy() {
        if (wakeLock != null && wakeLock.isHeld()) {
            wakeLock.release();
        }
        synchronized (LOCK) {
            isRunning = false;
        }
        super.onDestroy();
    }

    @Override
    public IBinder onBind(Intent intent) {
        return null;
    }

    private static boolean isVisible() {
        ActivityManager.RunningAppProcessInfo process = new ActivityManager.RunningAppProcessInfo();
        ActivityManager.getMyMemoryState(process);
        return process.importance <= ActivityManager.RunningAppProcessInfo.IMPORTANCE_FOREGROUND;
    }

    private static void ask(int what) {
        synchronized (LOCK) {
            request = Math.max(request, what);
        }
    }

    private void stayAwake() {
        if (wakeLock == null) {
            PowerManager power = (PowerManager) getSystemService(Context.POWER_SERVICE);
            wakeLock = power.newWakeLock(PowerManager.PARTIAL_WAKE_LOCK, "tussis:recording");
            wakeLock.setReferenceCounted(false);
        }
        wakeLock.acquire(); // until onDestroy: monitoring lasts for hours
    }

    private void endWhenClosed() {
        long endMs = System.nanoTime() / 1_000_000 + CLOSE_MS;
        synchronized (LOCK) {
            long leftMs = CLOSE_MS;
            while (!isClosed && leftMs > 0) {
                try {
                    LOCK.wait(leftMs);
                } catch (InterruptedException interruption) {
                    break;
                }
                leftMs = endMs - System.nanoTime() / 1_000_000;
            }
        }
        stopForeground(true);
        stopSelf();
        Process.killProcess(Process.myPid());
    }

    private static Notification notification(Context context) {
        String[] now;
        synchronized (LOCK) {
            now = words.clone();
        }
        Notification.Builder builder =
                Build.VERSION.SDK_INT >= 26 ? Api26.builder(context, CHANNEL, now[0]) : older(context);
        int icon = context.getResources().getIdentifier("ic_recording", "drawable", context.getPackageName());
        Notification.Action stop = new Notification.Action.Builder(
                Icon.createWithResource(context, icon), now[3], stopIntent(context)).build();
        return builder.setContentTitle(now[1]).setContentText(now[2]).setSmallIcon(icon).setOngoing(true)
                .addAction(stop).build();
    }

    @SuppressWarnings("deprecation") // the way to say "low" before channels
    private static Notification.Builder older(Context context) {
        return new Notification.Builder(context).setPriority(Notification.PRIORITY_LOW);
    }

    private static PendingIntent stopIntent(Context context) {
        Intent intent = new Intent(context, RecorderService.class).setAction(ACTION_STOP);
        return PendingIntent.getService(
                context, 0, intent, PendingIntent.FLAG_IMMUTABLE | PendingIntent.FLAG_UPDATE_CURRENT);
    }

    private static final class Api26 {
        static void start(Context context, Intent intent) {
            context.startForegroundService(intent);
        }

        static Notification.Builder builder(Context context, String id, String name) {
            NotificationManager notifications =
                    (NotificationManager) context.getSystemService(Context.NOTIFICATION_SERVICE);
            NotificationChannel channel = new NotificationChannel(id, name, NotificationManager.IMPORTANCE_LOW);
            notifications.createNotificationChannel(channel);
            return new Notification.Builder(context, id);
        }
    }

    private static final class Api30 {
        static void startForeground(Service service, int id, Notification notification) {
            service.startForeground(id, notification, ServiceInfo.FOREGROUND_SERVICE_TYPE_MICROPHONE);
        }
    }
}
