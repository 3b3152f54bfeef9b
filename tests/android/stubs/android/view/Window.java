package android.view;

import org.tussis.stub.Desk;

public class Window {
    private final View decor = new View();

    public void addFlags(int flags) {
        Desk.tell("on " + flags + " by " + Thread.currentThread().getName());
    }

    public void clearFlags(int flags) {
        Desk.tell("off " + flags + " by " + Thread.currentThread().getName());
    }

    public final View getDecorView() {
        return decor;
    }
}
