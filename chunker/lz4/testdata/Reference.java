import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import net.jpountz.lz4.LZ4Compressor;
import net.jpountz.lz4.LZ4Factory;

/** Compresses blocks from standard input to standard output, each behind its length of 4 bytes, big-endian. */
class Reference {
    public static void main(String[] args) throws Exception {
        LZ4Factory factory = args[0].equals("native") ? LZ4Factory.nativeInstance() : LZ4Factory.fastestJavaInstance();
        LZ4Compressor compressor = factory.fastCompressor();
        DataInputStream in = new DataInputStream(new BufferedInputStream(System.in, 1 << 16));
        DataOutputStream out = new DataOutputStream(new BufferedOutputStream(System.out, 1 << 16));
        while (true) {
            byte[] raw;
            try {
                raw = new byte[in.readInt()];
            } catch (EOFException end) {
                out.flush();
                return;
            }
            in.readFully(raw);
            byte[] block = compressor.compress(raw);
            out.writeInt(block.length);
            out.write(block);
        }
    }
}
