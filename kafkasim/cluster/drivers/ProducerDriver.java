import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * One KafkaProducer that kafkasim leads: it is told which records to send, and tells what became of each.
 *
 * Orders:  key=value…, an empty line   the producer's configuration, and under driver.* where and what to send
 *          go                          make the producer
 *          s FIRST LAST                send these records, both inclusive
 *          k N KEY                     send record N with the key "key-KEY"
 *          q TIMEOUT_MS                send what was ordered before, then close(), both within the time; and exit
 * Answers: ready, started
 *          h COUNT                     so many records have been handed to send(); said just before each call
 *          a N PARTITION OFFSET        the callback of N: acknowledged
 *          f N PARTITION EXCEPTION WHEN   the callback of N: failed. PARTITION -1: before it had one. WHEN: see `when`; "thrown": by send()
 *          stop EXCEPTION MESSAGE      the producer could not be made
 */
public final class ProducerDriver {
    /** Records first … last to be sent; with a key, or null. `last` < `first`: nothing more will come. */
    private record Order(long first, long last, byte[] key) {}

    private final Leash leash;
    private final String topic;
    private final int place;
    private final int size;
    private final KafkaProducer<byte[], byte[]> producer;
    private final BlockingQueue<Order> orders = new LinkedBlockingQueue<>();
    private long handed = 0;
    private volatile boolean closing = false; // what has not been handed to send() by now is not sent at all

    private ProducerDriver(Leash leash, Properties settings) {
        this.leash = leash;
        topic = settings.getProperty("driver.topic");
        place = Integer.parseInt(settings.getProperty("driver.producer"));
        size = Integer.parseInt(settings.getProperty("driver.size"));
        producer = new KafkaProducer<>(configuration(settings));
    }

    public static void main(String[] args) throws Exception {
        Leash leash = new Leash();
        Properties settings = leash.settings();
        try {
            rehearse(settings);
            leash.say("ready");
            leash.next();
            ProducerDriver driver = new ProducerDriver(leash, settings);
            leash.say("started");
            driver.obey();
        } catch (RuntimeException why) {
            leash.stopped(why);
        }
        Runtime.getRuntime().halt(0);
    }

    /** send() may block up to max.block.ms, on buffer.memory or metadata: it has a thread of its own, and orders are heard meanwhile. */
    private void obey() throws Exception {
        Thread sending = new Thread(this::sendAll, "sending");
        sending.start();
        while (true) {
            String[] words = leash.next().split(" ");
            switch (words[0]) {
                case "s" -> orders.add(new Order(Long.parseLong(words[1]), Long.parseLong(words[2]), null));
                case "k" -> orders.add(new Order(Long.parseLong(words[1]), Long.parseLong(words[1]), key(words[2])));
                case "q" -> {
                    long until = System.currentTimeMillis() + Long.parseLong(words[1]);
                    orders.add(new Order(0, -1, null));
                    sending.join(Math.max(1, until - System.currentTimeMillis()));
                    closing = true;
                    producer.close(Duration.ofMillis(Math.max(0, until - System.currentTimeMillis())));
                    return;
                }
                default -> throw new IllegalArgumentException("no such order: " + words[0]);
            }
        }
    }

    private void sendAll() {
        try {
            for (Order order = orders.take(); order.first <= order.last; order = orders.take()) {
                for (long number = order.first; number <= order.last && !closing; number++) {
                    send(number, order.key);
                }
            }
        } catch (InterruptedException cannotBe) {
            throw new IllegalStateException(cannotBe);
        }
    }

    /** The article's call. What send() itself throws never reaches the callback. */
    private void send(long number, byte[] key) {
        leash.say("h " + ++handed);
        byte[] value = new Identity(place, number).encode(size);
        try {
            producer.send(new ProducerRecord<>(topic, key, value), (metadata, exception) -> called(number, metadata, exception));
        } catch (RuntimeException thrown) {
            leash.say("f " + number + " -1 " + thrown.getClass().getSimpleName() + " thrown");
        }
    }

    private void called(long number, RecordMetadata metadata, Exception exception) {
        if (exception == null) {
            leash.say("a " + number + " " + metadata.partition() + " " + metadata.offset());
        } else {
            String partition = metadata == null ? "-1" : String.valueOf(metadata.partition());
            leash.say("f " + number + " " + partition + " " + exception.getClass().getSimpleName() + " " + when(exception));
        }
    }

    /** A TimeoutException has one class and several meanings. Only `expired` (delivery.timeout.ms) and `other` may have been written. */
    private static String when(Exception exception) {
        String message = String.valueOf(exception.getMessage());
        if (!(exception instanceof TimeoutException)) {
            return "other";
        }
        return message.startsWith("Expiring") ? "expired"
            : message.startsWith("Failed to allocate") ? "memory"
            : message.contains("not present in metadata") ? "metadata"
            : "other";
    }

    private static byte[] key(String name) {
        return ("key-" + name).getBytes(StandardCharsets.UTF_8);
    }

    private static Properties configuration(Properties settings) {
        Properties configuration = new Properties();
        configuration.put("key.serializer", ByteArraySerializer.class.getName());
        configuration.put("value.serializer", ByteArraySerializer.class.getName());
        settings.forEach((key, value) -> {
            if (!key.toString().startsWith("driver.")) {
                configuration.put(key, value);
            }
        });
        return configuration;
    }

    private static final String[] LATER = {
        "clients.producer.internals.TransactionManager", "clients.producer.internals.ProducerBatch",
        "clients.producer.internals.BuiltInPartitioner", "common.protocol.Errors", "common.protocol.ByteBufferAccessor",
        "common.requests.AbstractResponse", "common.requests.ApiVersionsResponse", "common.requests.MetadataResponse",
        "common.requests.InitProducerIdRequest$Builder", "common.requests.InitProducerIdResponse",
        "common.requests.ProduceRequest$Builder", "common.requests.ProduceResponse", "common.requests.GetTelemetrySubscriptionsResponse",
        "common.message.ProduceRequestData$PartitionProduceData", "common.message.ProduceResponseData$PartitionProduceResponse",
        "common.message.MetadataResponseData$MetadataResponsePartition", "common.record.MemoryRecordsBuilder",
        "common.record.DefaultRecordBatch", "common.record.DefaultRecordsSend", "common.record.CompressionRatioEstimator",
        "common.utils.Crc32C", "common.header.internals.RecordHeaders",
    };

    /** Idempotent, it would wait for its producer id until request.timeout.ms, though closed. */
    private static void rehearse(Properties settings) throws Exception {
        new ProducerConfig(configuration(settings)); // refuses what Kafka refuses
        Leash.load(LATER);
        try (ServerSocket nobody = Leash.nobody()) {
            Properties rehearsal = configuration(settings);
            rehearsal.put("bootstrap.servers", Leash.addressOf(nobody));
            rehearsal.put("client.id", "rehearsal");
            rehearsal.put("enable.idempotence", "false");
            rehearsal.remove("transactional.id");
            new KafkaProducer<byte[], byte[]>(rehearsal).close(Duration.ZERO);
        }
    }
}
