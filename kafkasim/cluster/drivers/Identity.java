/**
 * How a record carries its identity (producer, n) in the first bytes of its value: the same rule as kafkasim/cluster/identity.py.
 *
 * Eight bytes, big-endian: two for the producer's place in the scenario, six for n. A shorter value keeps the last of the eight.
 */
record Identity(int producer, long number) {
    private static final int WHOLE = 8;
    private static final int NUMBER_BITS = 48;

    /** A value of that many bytes; kafkasim has checked that the identity fits. */
    byte[] encode(int size) {
        long whole = ((long) producer << NUMBER_BITS) + number;
        byte[] value = new byte[size];
        int kept = Math.min(size, WHOLE);
        for (int i = kept - 1; i >= 0; i--) {
            value[i] = (byte) whole;
            whole >>>= 8;
        }
        return value;
    }

    /** The identity in a value that encode() made. */
    static Identity decode(byte[] value) {
        long whole = 0;
        for (int i = 0; i < Math.min(value.length, WHOLE); i++) {
            whole = (whole << 8) + (value[i] & 0xff);
        }
        return new Identity((int) (whole >>> NUMBER_BITS), whole & ((1L << NUMBER_BITS) - 1));
    }
}
