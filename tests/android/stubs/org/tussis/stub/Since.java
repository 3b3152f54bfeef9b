package org.tussis.stub;

import android.os.Build;

/** Makes a method of a stub absent on phones older than it. */
public final class Since {
    private Since() {}

    public static void api(int level) {
        if (Build.VERSION.SDK_INT < level) {
            throw new NoSuchMethodError("this method came with API " + level + ", this phone has " + Build.VERSION.SDK_INT);
        }
    }
}
