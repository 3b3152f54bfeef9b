package org.kivy.android;

import android.app.Activity;
import android.content.Intent;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/** What python-for-android's bootstrap offers of it. */
public class PythonActivity extends Activity {
    public static PythonActivity mActivity = new PythonActivity();
    private final List<ActivityResultListener> listeners = new CopyOnWriteArrayList<>();

    public interface ActivityResultListener {
        void onActivityResult(int requestCode, int resultCode, Intent data);
    }

    public void registerActivityResultListener(ActivityResultListener listener) {
        listeners.add(listener);
    }

    public void answer(int code, int result, Intent data) {
        for (ActivityResultListener listener : listeners) {
            listener.onActivityResult(code, result, data);
        }
    }
}
