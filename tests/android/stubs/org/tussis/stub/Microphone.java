package org.tussis.stub;

/** The microphone of the stub phone, which runs by the clock: sample i since the start has the value i mod 32749. */
public final class Microphone {
    public static final int PERIOD = 32749; // a prime, so that no block length hides a loss

    public static volatile double speed = 1; // seconds of sound for a second of the clock
    public static volatile int onlyRateHz; // 0: any
    public static volatile boolean isRefused;
    public static volatile boolean isForbidden;
    public static volatile boolean isBusy;
    public static volatile boolean isSilenced;
    public static volatile boolean givesZeros;
    public static volatile boolean isStuck;
    public static volatile long deadAfterSamples; // 0: never
    public static volatile long failsAfterSamples;
    public static volatile int open;
    public static volatile long lostSamples;
    public static volatile boolean hasUnprocessed;
    public static volatile boolean isPrivate;
    public static volatile int source;
    public static volatile Runnable onSilencing;

    private Microphone() {}

    public static void reset() {
        speed = 1;
        onlyRateHz = 0;
        isRefused = false;
        isForbidden = false;
        isBusy = false;
        isSilenced = false;
        givesZeros = false;
        isStuck = false;
        deadAfterSamples = 0;
        failsAfterSamples = 0;
        open = 0;
        lostSamples = 0;
        hasUnprocessed = false;
        isPrivate = false;
        source = 0;
        onSilencing = null;
    }

    /** Another app takes the microphone, or gives it back. */
    public static void silence(boolean on) {
        isSilenced = on;
        Runnable listener = onSilencing;
        if (listener != null) {
            listener.run();
        }
    }
}
