package android.security.keystore;

import java.security.spec.AlgorithmParameterSpec;

public final class KeyGenParameterSpec implements AlgorithmParameterSpec {
    public final String alias;
    public int keySize;

    private KeyGenParameterSpec(String alias) {
        this.alias = alias;
    }

    public static final class Builder {
        private final KeyGenParameterSpec spec;

        public Builder(String keystoreAlias, int purposes) {
            spec = new KeyGenParameterSpec(keystoreAlias);
        }

        public Builder setKeySize(int keySize) {
            spec.keySize = keySize;
            return this;
        }

        public Builder setBlockModes(String... blockModes) {
            return this;
        }

        public Builder setEncryptionPaddings(String... paddings) {
            return this;
        }

        public KeyGenParameterSpec build() {
            return spec;
        }
    }
}
