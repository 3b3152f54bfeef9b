package android.os;

import org.tussis.stub.Desk;
import org.tussis.stub.Phone;
import org.tussis.stub.Since;

public final class PowerManager {
    public static final int PARTIAL_WAKE_LOCK = 1;

    public int getCurrentThermalStatus() {
        Since.api(29);
        return Desk.thermalStatus;
    }

    public WakeLock newWakeLock(int levelAndFlags, String tag) {
        return new WakeLock();
    }

    public final class WakeLock {
        private boolean isHeld;

        public void setReferenceCounted(boolean value) {}

        public void acquire() {
            if (!isHeld) {
                isHeld = true;
                Phone.wakeLocks++;
            }
        }

        public void release() {
            isHeld = false;
            Phone.wakeLocks--;
        }

        public boolean isHeld() {
            return isHeld;
        }
    }
}
