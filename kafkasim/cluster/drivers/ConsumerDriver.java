import java.net.ServerSocket;
import java.time.Duration;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.CloseOptions;
import org.apache.kafka.clients.consumer.ConsumerInterceptor;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * One KafkaConsumer of a group that kafkasim leads: it is told when to poll and to commit, and tells what came of it.
 *
 * Orders:  key=value…, an empty line   the consumer's configuration, and under driver.topics what to subscribe to
 *          go                          make the consumer and subscribe
 *          p TIMEOUT_MS                poll()
 *          c                           commitSync() of the positions
 *          c TP=OFFSET,…               commitSync() of these. TP is TOPIC-PARTITION
 *          w                           wakeup(), while a poll is under way
 *          q                           close(), and exit
 * Answers: ready, started
 *          r TP OFFSET PRODUCER N COUNT   polled: COUNT records from OFFSET on, numbered from N on
 *          . TP=OFFSET,…               the poll has returned; the positions, where there are any
 *          c ok TP=OFFSET,…            commitSync() has returned; an exception's name instead of ok: it threw
 *          stop EXCEPTION MESSAGE      instead of a "." : poll() threw what an application does not catch
 *          assigned TP,…               all partitions of this member now; revoked TP,… and lost TP,…: those taken
 *          auto TP=OFFSET,…            an automatic commit has succeeded
 *          moved TP FROM TO            the position jumped without records; FROM -1: nothing had been committed
 */
public final class ConsumerDriver implements ConsumerRebalanceListener {
    private static final Duration LOOK_UP = Duration.ofSeconds(1);
    private static final long UNKNOWN = -2;

    private final Leash leash;
    private final KafkaConsumer<byte[], byte[]> consumer;
    private final Thread application = Thread.currentThread();
    private final BlockingQueue<String> orders = new LinkedBlockingQueue<>();
    private final Map<TopicPartition, Long> positions = new LinkedHashMap<>();
    private final Map<TopicPartition, Long> committed = new HashMap<>(); // as it was before the first position; -1: none, -2: unknown
    private RuntimeException failed; // what the next poll would have thrown
    private boolean committing; // commitSync() is under way
    private Map<TopicPartition, OffsetAndMetadata> answered; // while it is: the last commit that succeeded

    private ConsumerDriver(Leash leash, Properties settings) {
        this.leash = leash;
        Properties configuration = configuration(settings);
        configuration.merge("interceptor.classes", Commits.class.getName(), (theirs, ours) -> theirs + "," + ours);
        configuration.put("driver.commits", (Consumer<Map<TopicPartition, OffsetAndMetadata>>) this::committed);
        consumer = new KafkaConsumer<>(configuration, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        consumer.subscribe(topics(settings), this);
    }

    public static void main(String[] args) throws Exception {
        Leash leash = new Leash();
        Properties settings = leash.settings();
        try {
            rehearse(settings);
            leash.say("ready");
            leash.next();
            ConsumerDriver driver = new ConsumerDriver(leash, settings);
            leash.say("started");
            new Thread(driver::hear, "orders").start();
            driver.obey();
        } catch (RuntimeException why) {
            leash.stopped(why);
        }
        Runtime.getRuntime().halt(0);
    }

    /** Only wakeup() may be called beside the application's thread. */
    private void hear() {
        while (true) {
            String order = leash.next();
            if (order.equals("w")) {
                consumer.wakeup();
            } else {
                orders.add(order);
            }
        }
    }

    private void obey() throws InterruptedException {
        while (true) {
            String order = orders.take();
            switch (order.charAt(0)) {
                case 'p' -> poll(Duration.ofMillis(Long.parseLong(order.substring(2))));
                case 'c' -> commit(order.length() > 2 ? order.substring(2) : "");
                case 'q' -> {
                    consumer.close();
                    return;
                }
                default -> throw new IllegalArgumentException("no such order: " + order);
            }
        }
    }

    // ------------------------------------------------------------------------------------------------ poll

    private void poll(Duration timeout) {
        StringBuilder lines = new StringBuilder();
        try {
            if (failed != null) {
                throw failed;
            }
            ConsumerRecords<byte[], byte[]> records = consumer.poll(timeout);
            for (TopicPartition partition : records.partitions()) {
                tell(partition, records.records(partition), lines);
            }
        } catch (WakeupException woken) {
            // This poll returns nothing.
        } catch (RuntimeException thrown) {
            leash.stopped(thrown);
            return;
        }
        lookAtPositions();
        leash.say(lines + ". " + offsets(positions));
    }

    /** One line for each run of consecutive records. */
    private void tell(TopicPartition partition, List<ConsumerRecord<byte[], byte[]>> records, StringBuilder lines) {
        for (int first = 0, next; first < records.size(); first = next) {
            Identity start = Identity.decode(records.get(first).value());
            long offset = records.get(first).offset();
            isAt(partition, offset);
            for (next = first + 1; next < records.size(); next++) {
                ConsumerRecord<byte[], byte[]> record = records.get(next);
                Identity wanted = new Identity(start.producer(), start.number() + next - first);
                if (record.offset() != offset + next - first || !Identity.decode(record.value()).equals(wanted)) {
                    break;
                }
            }
            lines.append(String.format("r %s %d %d %d %d%n", partition, offset, start.producer(), start.number(), next - first));
            positions.put(partition, offset + next - first);
        }
    }

    /** Without waiting, and without a request that poll() would not send: a position that is not known, or in doubt, is left out. */
    private void lookAtPositions() {
        for (TopicPartition partition : consumer.assignment()) {
            try {
                isAt(partition, consumer.position(partition, Duration.ZERO));
            } catch (TimeoutException | WakeupException notNow) {
                // The next poll goes on looking for it.
            } catch (RuntimeException thrown) {
                failed = thrown;
            }
        }
    }

    /**
     * The position is there now. Where it was expected elsewhere, auto.offset.reset or a truncation has moved it: scenarios have neither
     * transactions nor compaction, and nothing else leaves gaps. The first one of an assignment is expected where the group committed.
     */
    private void isAt(TopicPartition partition, long offset) {
        Long expected = positions.put(partition, offset);
        if (expected == null) {
            expected = offset == 0 ? Long.valueOf(0) : committedBefore(partition, offset);
        }
        if (expected != offset) {
            leash.say("moved " + partition + " " + expected + " " + offset);
        }
    }

    /** One request more, for all partitions that are new. Where it has no answer, nothing is claimed. */
    private long committedBefore(TopicPartition partition, long offset) {
        if (!committed.containsKey(partition)) {
            Set<TopicPartition> fresh = new HashSet<>(consumer.assignment());
            fresh.removeIf(known -> positions.containsKey(known) && !known.equals(partition));
            try {
                consumer.committed(fresh, LOOK_UP).forEach((each, found) -> committed.put(each, found == null ? -1 : found.offset()));
            } catch (RuntimeException unknown) {
                fresh.forEach(each -> committed.put(each, UNKNOWN));
            }
        }
        long before = committed.getOrDefault(partition, UNKNOWN);
        return before == UNKNOWN ? offset : before;
    }

    // ------------------------------------------------------------------------------------------------ commit

    private void commit(String wanted) {
        Map<TopicPartition, OffsetAndMetadata> given = parsed(wanted);
        String result = "ok";
        answered = null;
        committing = true;
        try {
            if (given.isEmpty()) {
                consumer.commitSync();
            } else {
                consumer.commitSync(given);
            }
        } catch (RuntimeException thrown) { // CommitFailed, RebalanceInProgress, Timeout, Wakeup: the application's loop goes on
            result = thrown.getClass().getSimpleName();
        }
        committing = false;
        if (!result.equals("ok")) {
            sayAutomatic(answered);
            leash.say("c " + result + " " + (given.isEmpty() ? offsets(positions) : wanted));
        } else {
            leash.say("c ok " + (answered == null ? wanted : committedOffsets(answered)));
        }
    }

    /** Called for each commit that succeeded. Of those inside commitSync() the last is its own. */
    private void committed(Map<TopicPartition, OffsetAndMetadata> offsets) {
        if (committing && Thread.currentThread() == application) {
            sayAutomatic(answered);
            answered = offsets;
        } else {
            sayAutomatic(offsets);
        }
    }

    private void sayAutomatic(Map<TopicPartition, OffsetAndMetadata> offsets) {
        if (offsets != null && !offsets.isEmpty()) {
            leash.say("auto " + committedOffsets(offsets));
        }
    }

    /** Kafka makes one of these by its name, and hands it the configuration. */
    public static final class Commits implements ConsumerInterceptor<byte[], byte[]> {
        private Consumer<Map<TopicPartition, OffsetAndMetadata>> driver;

        @Override
        @SuppressWarnings("unchecked")
        public void configure(Map<String, ?> configuration) {
            driver = (Consumer<Map<TopicPartition, OffsetAndMetadata>>) configuration.get("driver.commits");
        }

        @Override
        public void onCommit(Map<TopicPartition, OffsetAndMetadata> offsets) {
            driver.accept(offsets);
        }

        @Override
        public ConsumerRecords<byte[], byte[]> onConsume(ConsumerRecords<byte[], byte[]> records) {
            return records;
        }

        @Override
        public void close() {}
    }

    // ------------------------------------------------------------------------------------------------ rebalances

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> added) {
        leash.say("assigned " + names(consumer.assignment()));
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> revoked) {
        gone("revoked ", revoked);
    }

    @Override
    public void onPartitionsLost(Collection<TopicPartition> lost) {
        gone("lost ", lost);
    }

    private void gone(String how, Collection<TopicPartition> partitions) {
        positions.keySet().removeAll(partitions);
        committed.keySet().removeAll(partitions);
        leash.say(how + names(partitions));
    }

    // ------------------------------------------------------------------------------------------------ text

    private static String names(Collection<TopicPartition> partitions) {
        return partitions.stream().map(TopicPartition::toString).sorted().collect(Collectors.joining(","));
    }

    private static String offsets(Map<TopicPartition, Long> offsets) {
        return offsets.entrySet().stream().map(each -> each.getKey() + "=" + each.getValue()).collect(Collectors.joining(","));
    }

    private static String committedOffsets(Map<TopicPartition, OffsetAndMetadata> offsets) {
        return offsets.entrySet().stream().map(each -> each.getKey() + "=" + each.getValue().offset()).collect(Collectors.joining(","));
    }

    private static Map<TopicPartition, OffsetAndMetadata> parsed(String offsets) {
        Map<TopicPartition, OffsetAndMetadata> parsed = new LinkedHashMap<>();
        for (String each : offsets.isEmpty() ? new String[0] : offsets.split(",")) {
            int dash = each.lastIndexOf('-');
            int equals = each.lastIndexOf('=');
            TopicPartition partition = new TopicPartition(each.substring(0, dash), Integer.parseInt(each.substring(dash + 1, equals)));
            parsed.put(partition, new OffsetAndMetadata(Long.parseLong(each.substring(equals + 1))));
        }
        return parsed;
    }

    // ------------------------------------------------------------------------------------------------ beginning

    private static List<String> topics(Properties settings) {
        return Arrays.asList(settings.getProperty("driver.topics").split(","));
    }

    private static Properties configuration(Properties settings) {
        Properties configuration = new Properties();
        settings.stringPropertyNames().stream()
            .filter(key -> !key.startsWith("driver."))
            .forEach(key -> configuration.put(key, settings.get(key)));
        return configuration;
    }

    private static final String[] LATER = {
        "common.protocol.Errors", "common.protocol.ByteBufferAccessor", "common.requests.AbstractResponse",
        "common.requests.ApiVersionsResponse", "common.requests.MetadataResponse", "common.requests.FindCoordinatorResponse",
        "common.requests.JoinGroupRequest$Builder", "common.requests.JoinGroupResponse", "common.requests.SyncGroupRequest$Builder",
        "common.requests.SyncGroupResponse", "common.requests.HeartbeatRequest$Builder", "common.requests.HeartbeatResponse",
        "common.requests.OffsetFetchRequest$Builder", "common.requests.OffsetFetchResponse", "common.requests.ListOffsetsResponse",
        "common.requests.OffsetCommitRequest$Builder", "common.requests.OffsetCommitResponse", "common.requests.FetchRequest$Builder",
        "common.requests.FetchResponse", "common.requests.GetTelemetrySubscriptionsResponse", "common.record.DefaultRecordBatch",
        "common.record.DefaultRecord", "common.message.MetadataResponseData$MetadataResponsePartition", "common.utils.Crc32C",
        "common.message.FetchResponseData$PartitionData", "common.message.JoinGroupResponseData$JoinGroupResponseMember",
        "common.message.OffsetFetchResponseData$OffsetFetchResponsePartitions", "clients.consumer.internals.CompletedFetch",
        "clients.consumer.internals.FetchCollector", "clients.consumer.internals.FetchSessionHandler", "clients.consumer.ConsumerRecord",
        "clients.consumer.internals.ConsumerCoordinator", "clients.consumer.internals.AbstractCoordinator$Heartbeat",
        "clients.consumer.internals.ConsumerProtocol", "clients.consumer.ConsumerPartitionAssignor$Assignment",
    };

    private static void rehearse(Properties settings) throws Exception {
        Leash.load(LATER);
        try (ServerSocket nobody = Leash.nobody()) {
            Properties rehearsal = configuration(settings);
            rehearsal.put("bootstrap.servers", Leash.addressOf(nobody));
            rehearsal.put("client.id", "rehearsal");
            KafkaConsumer<byte[], byte[]> nobodys =
                new KafkaConsumer<>(rehearsal, new ByteArrayDeserializer(), new ByteArrayDeserializer());
            if (!"consumer".equalsIgnoreCase(rehearsal.getProperty("group.protocol"))) { // there it would be a member, and try to leave
                nobodys.subscribe(topics(settings));
                nobodys.poll(Duration.ZERO);
            }
            nobodys.close(CloseOptions.timeout(Duration.ZERO));
        }
    }
}
