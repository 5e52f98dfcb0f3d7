import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.util.Properties;

/** How a driver hears from kafkasim and answers: lines of text on standard input and output. No Kafka in here. */
final class Leash {
    private final BufferedReader orders = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    private final FileOutputStream answers = new FileOutputStream(FileDescriptor.out);

    /** The first lines: one `key=value` each, then an empty one. */
    Properties settings() {
        Properties settings = new Properties();
        for (String line = next(); !line.isEmpty(); line = next()) {
            int equals = line.indexOf('=');
            settings.setProperty(line.substring(0, equals), line.substring(equals + 1));
        }
        return settings;
    }

    /** The next order. When there will be none, whoever started us is gone: we go at once, and close nothing, as in a crash. */
    String next() {
        String line = null;
        try {
            line = orders.readLine();
        } catch (IOException broken) {
            // As good as the end.
        }
        if (line == null) {
            Runtime.getRuntime().halt(0);
        }
        return line;
    }

    /** One write for all of it, without a buffer of ours: what was said before a kill -9 is not lost. */
    synchronized void say(String lines) {
        try {
            answers.write((lines + "\n").getBytes(StandardCharsets.UTF_8));
        } catch (IOException gone) {
            Runtime.getRuntime().halt(0);
        }
    }

    /** The client cannot go on. */
    void stopped(Throwable why) {
        boolean wrapped = why.getCause() != null && String.valueOf(why.getMessage()).startsWith("Failed to construct");
        Throwable cause = wrapped ? why.getCause() : why;
        say("stop " + cause.getClass().getSimpleName() + " " + String.valueOf(cause.getMessage()).replaceAll("\\s+", " "));
    }

    /**
     * A place of our own to connect to where nobody ever answers. A client that is made and closed there has its classes loaded
     * and its sockets tried, so that the real one, later, begins at once.
     */
    static ServerSocket nobody() throws IOException {
        return new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
    }

    /** Loads and links what a client needs as soon as somebody answers. Names of Kafka's insides: another version may lack some. */
    static void load(String... classes) {
        for (String name : classes) {
            try {
                Class.forName("org.apache.kafka." + name);
            } catch (ClassNotFoundException otherVersion) {
                // Then it is loaded when it is needed.
            }
        }
    }

    static String addressOf(ServerSocket socket) {
        return "127.0.0.1:" + socket.getLocalPort();
    }
}
