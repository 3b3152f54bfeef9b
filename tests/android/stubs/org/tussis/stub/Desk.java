package org.tussis.stub;

import android.app.Activity;
import android.content.Intent;
import android.net.Uri;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.kivy.android.PythonActivity;

/** What a person does with the phone, and what its window and its motor were told. */
public final class Desk {
    public static final List<String> told = new CopyOnWriteArrayList<>();
    public static volatile boolean isRelease;
    public static volatile String filesFolder = "";
    public static volatile Intent started = new Intent();
    public static volatile String chosen = "";
    public static volatile boolean isDeniedForEver;
    public static volatile double fontScale = 1;
    public static volatile int batteryTenths = 314;
    public static volatile int thermalStatus = 1;
    public static volatile boolean losesLastByte;
    public static volatile long playedSamples;

    private Desk() {}

    public static void reset() {
        told.clear();
        chosen = "";
        isDeniedForEver = false;
        isRelease = false;
        started = new Intent();
        fontScale = 1;
        losesLastByte = false;
        playedSamples = 0;
        PythonActivity.mActivity = new PythonActivity();
    }

    public static void tell(String words) {
        told.add(words);
    }

    public static String[] allTold() {
        return told.toArray(new String[0]);
    }

    /** The activity is started with this intent. */
    public static void start(Intent intent, String folder) {
        started = intent;
        filesFolder = folder;
    }

    /** The person chooses this file in the next picker; "" for Back. */
    public static void choose(String path) {
        chosen = path;
    }

    /** The picker answers on the main thread. */
    public static void answer(int code) {
        String path = chosen;
        Intent answer = new Intent();
        answer.setData(path.isEmpty() ? null : Uri.of(path));
        int result = path.isEmpty() ? Activity.RESULT_CANCELED : Activity.RESULT_OK;
        Phone.later(() -> PythonActivity.mActivity.answer(code, result, answer));
    }
}
