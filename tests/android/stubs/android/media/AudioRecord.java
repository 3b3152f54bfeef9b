package android.media;

import java.util.Collections;
import java.util.concurrent.Executor;
import org.tussis.stub.Microphone;
import org.tussis.stub.Since;

public class AudioRecord {
    public static final int STATE_UNINITIALIZED = 0;
    public static final int STATE_INITIALIZED = 1;
    public static final int RECORDSTATE_STOPPED = 1;
    public static final int RECORDSTATE_RECORDING = 3;
    public static final int ERROR_BAD_VALUE = -2;
    public static final int ERROR_INVALID_OPERATION = -3;
    public static final int ERROR_DEAD_OBJECT = -6;

    private final int rateHz;
    private final int bufferSamples;
    private final int source;
    private volatile boolean isRecording;
    private volatile boolean isReleased;
    private long startNs;
    private long nextSample;

    private AudioRecord(int rateHz, int bufferBytes, int source) {
        this.rateHz = rateHz;
        this.bufferSamples = bufferBytes / 2;
        this.source = source;
        Microphone.open++;
        Microphone.source = source;
    }

    public static int getMinBufferSize(int sampleRateInHz, int channelConfig, int audioFormat) {
        boolean isPossible = Microphone.onlyRateHz == 0 || Microphone.onlyRateHz == sampleRateInHz;
        return isPossible ? sampleRateInHz / 25 : ERROR_BAD_VALUE;
    }

    public int getState() {
        return isReleased ? STATE_UNINITIALIZED : STATE_INITIALIZED;
    }

    public int getRecordingState() {
        return isRecording ? RECORDSTATE_RECORDING : RECORDSTATE_STOPPED;
    }

    public int getSampleRate() {
        return rateHz;
    }

    public int getAudioSource() {
        return source;
    }

    public void startRecording() {
        if (isReleased) {
            throw new IllegalStateException("startRecording() called on an uninitialized AudioRecord.");
        }
        startNs = System.nanoTime();
        isRecording = !Microphone.isBusy;
    }

    public int read(byte[] audioData, int offsetInBytes, int sizeInBytes) {
        int wanted = sizeInBytes / 2;
        while (isRecording && (Microphone.isStuck || produced() - nextSample < wanted)) {
            long missing = Microphone.isStuck ? rateHz : wanted - (produced() - nextSample);
            sleep(Math.max(1, Math.min(20, (long) (1000 * missing / (rateHz * Microphone.speed)))));
        }
        if (isReleased || !isRecording) {
            return isReleased ? ERROR_INVALID_OPERATION : 0;
        }
        if (Microphone.deadAfterSamples > 0 && nextSample >= Microphone.deadAfterSamples) {
            return ERROR_DEAD_OBJECT;
        }
        if (Microphone.failsAfterSamples > 0 && nextSample >= Microphone.failsAfterSamples) {
            return ERROR_INVALID_OPERATION;
        }
        long overrun = produced() - nextSample - bufferSamples;
        if (overrun > 0) {
            Microphone.lostSamples += overrun;
            nextSample += overrun;
        }
        boolean isSilent = Microphone.isSilenced || Microphone.givesZeros;
        for (int i = 0; i < wanted; i++) {
            int value = isSilent ? 0 : (int) (nextSample % Microphone.PERIOD);
            audioData[offsetInBytes + 2 * i] = (byte) value;
            audioData[offsetInBytes + 2 * i + 1] = (byte) (value >> 8);
            nextSample++;
        }
        return 2 * wanted;
    }

    public void release() {
        if (!isReleased) {
            Microphone.open--;
        }
        isRecording = false;
        isReleased = true;
    }

    public void registerAudioRecordingCallback(Executor executor, AudioManager.AudioRecordingCallback callback) {
        Since.api(29);
        Microphone.onSilencing =
                () -> executor.execute(() -> callback.onRecordingConfigChanged(Collections.emptyList()));
    }

    public void unregisterAudioRecordingCallback(AudioManager.AudioRecordingCallback callback) {
        Since.api(29);
        Microphone.onSilencing = null;
    }

    public AudioRecordingConfiguration getActiveRecordingConfiguration() {
        Since.api(29);
        return isRecording ? new AudioRecordingConfiguration() : null;
    }

    private long produced() {
        return (long) ((System.nanoTime() - startNs) * 1e-9 * rateHz * Microphone.speed);
    }

    private static void sleep(long ms) {
        try {
            Thread.sleep(ms);
        } catch (InterruptedException interruption) {
            Thread.currentThread().interrupt();
        }
    }

    public static class Builder {
        private int source;
        private int bufferBytes;
        private AudioFormat format;

        public Builder setAudioSource(int source) {
            this.source = source;
            return this;
        }

        public Builder setAudioFormat(AudioFormat format) {
            this.format = format;
            return this;
        }

        public Builder setBufferSizeInBytes(int bufferSizeInBytes) {
            this.bufferBytes = bufferSizeInBytes;
            return this;
        }

        public Builder setPrivacySensitive(boolean privacySensitive) {
            Since.api(30);
            Microphone.isPrivate = privacySensitive;
            return this;
        }

        public AudioRecord build() {
            if (Microphone.isForbidden) {
                throw new SecurityException("RECORD_AUDIO is not granted");
            }
            if (Microphone.isRefused) {
                throw new UnsupportedOperationException("Cannot create AudioRecord");
            }
            return new AudioRecord(format.rateHz, bufferBytes, source);
        }
    }
}
