package android.app;

import org.tussis.stub.Phone;

public class ActivityManager {
    public static void getMyMemoryState(RunningAppProcessInfo outState) {
        outState.importance = Phone.importance;
    }

    public static class RunningAppProcessInfo {
        public static final int IMPORTANCE_FOREGROUND = 100;
        public int importance;
    }
}
