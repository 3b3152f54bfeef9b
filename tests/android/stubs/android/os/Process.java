package android.os;

import org.tussis.stub.Phone;

public class Process {
    public static final int THREAD_PRIORITY_URGENT_AUDIO = -19;

    public static void setThreadPriority(int priority) {
        Phone.tell("priority " + priority + " of " + Thread.currentThread().getName());
    }

    public static int myPid() {
        return 4711;
    }

    public static void killProcess(int pid) {
        Phone.tell("killed " + pid);
    }
}
