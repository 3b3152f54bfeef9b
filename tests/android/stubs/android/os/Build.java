package android.os;

public class Build {
    public static class VERSION {
        public static int SDK_INT = Integer.parseInt("36"); // no constant, as in Android
    }
}
