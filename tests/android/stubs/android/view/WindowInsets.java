package android.view;

import android.graphics.Insets;
import org.tussis.stub.Since;

/** Bars of 24 and 48, a cut-out of 30 and a keyboard of 300 pixels. */
public final class WindowInsets {
    public Insets getInsets(int typeMask) {
        Since.api(30);
        boolean hasAll = typeMask == (Type.systemBars() | Type.displayCutout() | Type.ime());
        return new Insets(0, 30, 0, hasAll ? 300 : 48);
    }

    public int getSystemWindowInsetLeft() {
        return 0;
    }

    public int getSystemWindowInsetTop() {
        return 24;
    }

    public int getSystemWindowInsetRight() {
        return 0;
    }

    public int getSystemWindowInsetBottom() {
        return 48;
    }

    public static final class Type {
        public static int systemBars() {
            return 7;
        }

        public static int displayCutout() {
            return 128;
        }

        public static int ime() {
            return 8;
        }
    }
}
