package android.app;

import android.content.Context;
import android.content.Intent;
import android.view.Window;
import org.tussis.stub.Desk;
import org.tussis.stub.Phone;

public class Activity extends Context {
    public static final int RESULT_OK = -1;
    public static final int RESULT_CANCELED = 0;
    private final Window window = new Window();

    public Intent getIntent() {
        return Desk.started;
    }

    public Window getWindow() {
        return window;
    }

    public final void runOnUiThread(Runnable action) {
        Phone.later(action);
    }

    public void startActivity(Intent intent) {
        Desk.tell("shows " + intent.getAction() + " " + intent.getData());
    }

    public void startActivityForResult(Intent intent, int requestCode) {
        Desk.tell("asks " + intent.getAction() + " " + intent.getStringExtra(Intent.EXTRA_TITLE));
        Desk.answer(requestCode);
    }

    public final void requestPermissions(String[] permissions, int requestCode) {
        Desk.tell("permissions " + String.join(" ", permissions));
        if (!Desk.isDeniedForEver) {
            for (String permission : permissions) {
                Phone.granted.add(permission);
            }
        }
    }

    public boolean shouldShowRequestPermissionRationale(String permission) {
        return !Desk.isDeniedForEver;
    }
}
