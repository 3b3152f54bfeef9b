package android.net;

public abstract class Uri {
    public static Uri of(String path) {
        return new Uri() {
            @Override
            public String getPath() {
                return path;
            }

            @Override
            public String toString() {
                return path;
            }
        };
    }

    public static Uri fromParts(String scheme, String ssp, String fragment) {
        return of(scheme + ":" + ssp);
    }

    public abstract String getPath();
}
