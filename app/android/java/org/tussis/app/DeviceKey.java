package org.tussis.app;

import android.security.keystore.KeyGenParameterSpec;
import android.security.keystore.KeyProperties;
import java.io.IOException;
import java.security.GeneralSecurityException;
import java.security.Key;
import java.security.KeyStore;
import java.util.Arrays;
import javax.crypto.Cipher;
import javax.crypto.KeyGenerator;
import javax.crypto.SecretKey;
import javax.crypto.spec.GCMParameterSpec;

/**
 * Seals a few bytes with an AES key that never leaves the phone's keystore and asks nobody to unlock anything.
 *
 * A key that the keystore lost is an answer: open() gives null then.
 */
public final class DeviceKey {
    private static final String STORE = "AndroidKeyStore";
    private static final String CIPHER = "AES/GCM/NoPadding";
    private static final int KEY_BITS = 256;
    private static final int TAG_BITS = 128;
    private static final int NONCE_BYTES = 12;

    private final String alias;

    public DeviceKey(String alias) {
        this.alias = alias;
    }

    /** Make the key anew, in place of an earlier one. */
    public void create() throws GeneralSecurityException {
        KeyGenerator generator = KeyGenerator.getInstance(KeyProperties.KEY_ALGORITHM_AES, STORE);
        int purposes = KeyProperties.PURPOSE_ENCRYPT | KeyProperties.PURPOSE_DECRYPT;
        generator.init(new KeyGenParameterSpec.Builder(alias, purposes)
                .setKeySize(KEY_BITS)
                .setBlockModes(KeyProperties.BLOCK_MODE_GCM)
                .setEncryptionPaddings(KeyProperties.ENCRYPTION_PADDING_NONE)
                .build());
        generator.generateKey();
    }

    /** The keystore's nonce and the sealed bytes; null where the key is lost. */
    public byte[] seal(byte[] plain) throws GeneralSecurityException {
        SecretKey key = key();
        if (key == null) {
            return null;
        }
        Cipher cipher = Cipher.getInstance(CIPHER);
        cipher.init(Cipher.ENCRYPT_MODE, key);
        byte[] sealed = cipher.doFinal(plain);
        byte[] both = Arrays.copyOf(cipher.getIV(), NONCE_BYTES + sealed.length);
        System.arraycopy(sealed, 0, both, NONCE_BYTES, sealed.length);
        return both;
    }

    /** What seal() sealed; null where the key is lost, is another one, or the bytes were altered. */
    public byte[] open(byte[] sealed) {
        try {
            SecretKey key = key();
            if (key == null || sealed.length < NONCE_BYTES + TAG_BITS / 8) {
                return null;
            }
            Cipher cipher = Cipher.getInstance(CIPHER);
            cipher.init(Cipher.DECRYPT_MODE, key, new GCMParameterSpec(TAG_BITS, sealed, 0, NONCE_BYTES));
            return cipher.doFinal(sealed, NONCE_BYTES, sealed.length - NONCE_BYTES);
        } catch (GeneralSecurityException lost) {
            return null;
        }
    }

    private SecretKey key() throws GeneralSecurityException {
        KeyStore store = KeyStore.getInstance(STORE);
        try {
            store.load(null);
        } catch (IOException failure) {
            throw new GeneralSecurityException(failure);
        }
        Key key = store.getKey(alias, null);
        return key instanceof SecretKey ? (SecretKey) key : null;
    }
}
