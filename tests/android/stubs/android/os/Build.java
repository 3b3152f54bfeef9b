package android.os;

public class Build {
    public static final String MANUFACTURER = String.valueOf("Stub");
    public static final String MODEL = String.valueOf("Phone 1");
    public static final String HARDWARE = String.valueOf("stubboard");
    public static final String SOC_MANUFACTURER = String.valueOf("Stub");
    public static final String SOC_MODEL = String.valueOf("S1");
    public static final String[] SUPPORTED_ABIS = {"arm64-v8a", "armeabi-v7a"};

    public static class VERSION {
        public static final String RELEASE = String.valueOf("16");
        public static int SDK_INT = Integer.parseInt("36"); // no constant, as in Android
    }
}
