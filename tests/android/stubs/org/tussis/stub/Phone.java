package org.tussis.stub;

import android.app.Service;
import android.content.Intent;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/** What Android's own processes know and do of an app: its permissions, its services, what it shows. */
public final class Phone {
    public static final Set<String> granted = new HashSet<>();
    public static final List<String> events = new CopyOnWriteArrayList<>();
    public static final Map<String, Integer> channels = new HashMap<>();
    public static final Map<Integer, String> notifications = new HashMap<>();
    public static volatile int importance = 100;
    public static volatile int wakeLocks;
    public static volatile int startDelayMs;

    private static final Map<Class<?>, Service> services = new HashMap<>();
    private static final Set<Service> owing = new HashSet<>(); // those that must come to the foreground
    private static ScheduledExecutorService main = newMainThread();

    private Phone() {}

    /** A new phone: nothing granted, nothing runs, the app is on the screen. */
    public static void reset() {
        onMain(services::clear);
        granted.clear();
        events.clear();
        channels.clear();
        notifications.clear();
        owing.clear();
        importance = 100;
        wakeLocks = 0;
        startDelayMs = 0;
    }

    public static String[] told() {
        return events.toArray(new String[0]);
    }

    public static String notification(int id) {
        return notifications.getOrDefault(id, "");
    }

    public static int channelImportance(String id) {
        return channels.getOrDefault(id, -1);
    }

    public static void grant(String permission) {
        granted.add(permission);
    }

    public static void revoke(String permission) {
        granted.remove(permission);
    }

    /** Events carry the milliseconds of the clock. */
    public static void tell(String event) {
        events.add(System.nanoTime() / 1_000_000 + " " + event);
    }

    public static void start(Intent intent, boolean mustComeToForeground) {
        main.schedule(() -> startNow(intent, mustComeToForeground), startDelayMs, TimeUnit.MILLISECONDS);
    }

    public static void stop(Class<?> service) {
        main.execute(() -> destroy(services.get(service)));
    }

    public static void destroy(Service service) {
        if (service == null || services.remove(service.getClass()) == null) {
            return;
        }
        if (owing.remove(service)) {
            tell("crash: a service was stopped before it came to the foreground");
        }
        service.onDestroy();
        notifications.clear();
        tell("destroyed");
    }

    public static void cameToForeground(Service service, int id, String notification, int type) {
        owing.remove(service);
        notifications.put(id, notification);
        tell("foreground type " + type);
    }

    /** The person swipes the app away from the list of recent apps. */
    public static void removeTask() {
        onMain(() -> new ArrayList<>(services.values()).forEach(service -> service.onTaskRemoved(new Intent())));
    }

    public static int runningServices() {
        onMain(() -> {});
        return services.size();
    }

    /** Wait until Android's main thread did all that it was given. */
    public static void settle() {
        onMain(() -> {});
    }

    private static void startNow(Intent intent, boolean mustComeToForeground) {
        try {
            Service service = services.get(intent.target);
            if (service == null) {
                service = (Service) intent.target.getDeclaredConstructor().newInstance();
                services.put(intent.target, service);
                service.onCreate();
            }
            if (mustComeToForeground) {
                owing.add(service);
            }
            tell("start command");
            service.onStartCommand(intent, 0, 1);
            if (owing.contains(service)) {
                tell("crash: a service did not come to the foreground");
            }
        } catch (ReflectiveOperationException | RuntimeException failure) {
            tell("crash: " + failure);
        }
    }

    /** Have the main thread do this soon. */
    public static void later(Runnable work) {
        main.execute(work);
    }

    private static void onMain(Runnable work) {
        try {
            main.submit(work).get(5, TimeUnit.SECONDS);
        } catch (Exception failure) {
            throw new IllegalStateException(failure);
        }
    }

    private static ScheduledExecutorService newMainThread() {
        return Executors.newSingleThreadScheduledExecutor(work -> {
            Thread thread = new Thread(work, "main");
            thread.setDaemon(true);
            return thread;
        });
    }
}
