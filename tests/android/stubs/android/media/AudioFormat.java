package android.media;

public final class AudioFormat {
    public static final int CHANNEL_IN_MONO = 16;
    public static final int CHANNEL_OUT_MONO = 4;
    public static final int ENCODING_PCM_16BIT = 2;
    int rateHz;

    public static class Builder {
        private final AudioFormat format = new AudioFormat();

        public Builder setEncoding(int encoding) {
            return this;
        }

        public Builder setSampleRate(int sampleRate) {
            format.rateHz = sampleRate;
            return this;
        }

        public Builder setChannelMask(int channelMask) {
            return this;
        }

        public AudioFormat build() {
            return format;
        }
    }
}
