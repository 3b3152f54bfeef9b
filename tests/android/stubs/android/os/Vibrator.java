package android.os;

import org.tussis.stub.Desk;
import org.tussis.stub.Since;

public class Vibrator {
    public void vibrate(long milliseconds) {
        Desk.tell("vibrates " + milliseconds);
    }

    public void vibrate(VibrationEffect vibe) {
        Since.api(26);
        Desk.tell("vibrates by effect " + vibe.milliseconds);
    }
}
