package android.media;

import org.tussis.stub.Desk;

public class AudioTrack {
    public static final int MODE_STREAM = 1;
    private final int rateHz;

    public AudioTrack(int streamType, int sampleRateInHz, int channelConfig, int audioFormat, int bytes, int mode) {
        rateHz = sampleRateInHz;
    }

    public static int getMinBufferSize(int sampleRateInHz, int channelConfig, int audioFormat) {
        return sampleRateInHz > 192000 ? -2 : sampleRateInHz / 10;
    }

    public void play() {
        Desk.tell("plays at " + rateHz);
    }

    public int write(byte[] audioData, int offsetInBytes, int sizeInBytes) {
        try {
            Thread.sleep(1000L * sizeInBytes / 2 / rateHz / 20); // twenty times faster than sound
        } catch (InterruptedException interruption) {
            Thread.currentThread().interrupt();
        }
        Desk.playedSamples += sizeInBytes / 2;
        return sizeInBytes;
    }

    public void stop() {
        Desk.tell("played to its end");
    }

    public void pause() {
        Desk.tell("paused");
    }

    public void release() {
        Desk.tell("released");
    }
}
