// What the controller holds to be true, read from its metadata log on disk (the folder of __cluster_metadata-0) and told as JSON lines, one a
// change of a broker, a topic or a partition. No broker is asked: one that is cut off would answer with what used to be true.
//
// The records are applied by Kafka's own MetadataDelta (which uses PartitionRegistration.merge), one at a time, so that of two changes in one
// batch neither is skipped. A change's "at" is its batch's own timestamp (ms, wall clock): when the controller decided.
//
//   {"at", "offset", "kind": "broker", "broker", "epoch", "fenced", "in_controlled_shutdown", "incarnation"}
//   {"at", "offset", "kind": "broker-removed", "broker"}
//   {"at", "offset", "kind": "topic", "topic", "id"}
//   {"at", "offset", "kind": "topic-removed", "topic"}
//   {"at", "offset", "kind": "partition", "topic", "partition", "replicas", "isr", "leader", "leader_epoch", "partition_epoch", "elr",
//    "last_known_elr", "adding", "removing"}
//   {"kind": "restart"}       the log is shorter than what was read (a truncation): everything follows again from its beginning
//
// Left out: the transactions of the metadata log (Kafka itself uses them for the bootstrap records alone); that with several controllers a
// record counts only when a quorum has it; and snapshots, so that the log has to begin at offset 0.

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.NoSuchFileException;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.metadata.MetadataRecordType;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.record.MemoryRecords;
import org.apache.kafka.common.record.MutableRecordBatch;
import org.apache.kafka.common.record.Record;
import org.apache.kafka.image.ClusterDelta;
import org.apache.kafka.image.MetadataDelta;
import org.apache.kafka.image.MetadataImage;
import org.apache.kafka.image.MetadataProvenance;
import org.apache.kafka.image.TopicDelta;
import org.apache.kafka.image.TopicsDelta;
import org.apache.kafka.metadata.BrokerRegistration;
import org.apache.kafka.metadata.MetadataRecordSerde;
import org.apache.kafka.metadata.PartitionRegistration;

public final class MetadataLog {
    private static final int POLL_MS = 20;
    private static final Set<MetadataRecordType> TOLD = EnumSet.of(
        MetadataRecordType.REGISTER_BROKER_RECORD,
        MetadataRecordType.UNREGISTER_BROKER_RECORD,
        MetadataRecordType.BROKER_REGISTRATION_CHANGE_RECORD,
        MetadataRecordType.FENCE_BROKER_RECORD,
        MetadataRecordType.UNFENCE_BROKER_RECORD,
        MetadataRecordType.TOPIC_RECORD,
        MetadataRecordType.REMOVE_TOPIC_RECORD,
        MetadataRecordType.PARTITION_RECORD,
        MetadataRecordType.PARTITION_CHANGE_RECORD,
        MetadataRecordType.CLEAR_ELR_RECORD);

    private final File folder;
    private final PrintStream out;
    private final MetadataRecordSerde serde = new MetadataRecordSerde();
    private MetadataImage image = MetadataImage.EMPTY;
    private long nextOffset = 0;

    private MetadataLog(File folder, PrintStream out) {
        this.folder = folder;
        this.out = out;
    }

    public static void main(String[] arguments) throws Exception {
        // Standard output is ours alone: what a library prints by mistake goes to the log of errors.
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        System.setOut(System.err);
        exitWithStandardInput();
        MetadataLog log = new MetadataLog(new File(arguments[0]), out);
        while (true) {
            log.follow();
            log.forget();
        }
    }

    private static void exitWithStandardInput() {
        Thread watcher = new Thread(() -> {
            try (InputStream in = System.in) {
                while (in.read() >= 0) {
                    // Nothing is ever told us; only the end matters.
                }
            } catch (IOException error) {
                // The same as its end.
            }
            Runtime.getRuntime().halt(0);
        });
        watcher.setDaemon(true);
        watcher.start();
    }

    /** Reads segment after segment; returns when the log has become shorter than what was read. */
    private void follow() throws Exception {
        while (true) {
            try (FileChannel segment = FileChannel.open(segmentAt(nextOffset).toPath(), StandardOpenOption.READ)) {
                if (!followSegment(segment, nextOffset)) {
                    return;
                }
            } catch (NoSuchFileException notYet) {
                Thread.sleep(POLL_MS);
            }
        }
    }

    /** True at the end of a segment that has a successor, false where it was truncated. */
    private boolean followSegment(FileChannel segment, long baseOffset) throws Exception {
        long position = 0;
        while (true) {
            // Asked before the read: had the next one begun meanwhile, this one could still have grown after we read it.
            boolean rolled = nextOffset > baseOffset && segmentAt(nextOffset).exists();
            long size = segment.size();
            if (size < position) {
                return false;
            }
            int taken = size > position ? apply(read(segment, position, size)) : 0;
            position += taken;
            if (taken == 0) {
                if (rolled) {
                    return true;
                }
                Thread.sleep(POLL_MS);
            }
        }
    }

    private static ByteBuffer read(FileChannel segment, long position, long size) throws IOException {
        ByteBuffer bytes = ByteBuffer.allocate((int) Math.min(size - position, 64 << 20));
        while (bytes.hasRemaining() && segment.read(bytes, position + bytes.position()) >= 0) {
            // Until it is full or the file ends.
        }
        return bytes.flip();
    }

    /** How many bytes of whole batches were applied. A batch at the end that is only half written is left for the next time. */
    private int apply(ByteBuffer bytes) {
        int taken = 0;
        for (MutableRecordBatch batch : MemoryRecords.readableRecords(bytes).batches()) {
            if (!batch.isValid()) {
                break;
            }
            if (!batch.isControlBatch()) {
                for (Record record : batch) {
                    ApiMessage message = serde.read(new ByteBufferAccessor(record.value()), record.valueSize()).message();
                    apply(message, "{\"at\":" + record.timestamp() + ",\"offset\":" + record.offset());
                }
            }
            taken += batch.sizeInBytes();
            nextOffset = batch.nextOffset();
        }
        out.flush();
        if (out.checkError()) {
            Runtime.getRuntime().halt(0); // Nobody listens any more.
        }
        return taken;
    }

    private void apply(ApiMessage message, String head) {
        if (!TOLD.contains(MetadataRecordType.fromId(message.apiKey()))) {
            return;
        }
        MetadataDelta delta = new MetadataDelta(image);
        delta.replay(message);
        if (delta.clusterDelta() != null) {
            tellBrokers(delta.clusterDelta(), head);
        }
        if (delta.topicsDelta() != null) {
            tellTopics(delta.topicsDelta(), head);
        }
        image = delta.apply(MetadataProvenance.EMPTY);
    }

    private void tellBrokers(ClusterDelta delta, String head) {
        for (Map.Entry<Integer, Optional<BrokerRegistration>> change : delta.changedBrokers().entrySet()) {
            if (change.getValue().isEmpty()) {
                tell(head, "broker-removed", "\"broker\":%d", change.getKey());
                continue;
            }
            BrokerRegistration broker = change.getValue().get();
            tell(head, "broker", "\"broker\":%d,\"epoch\":%d,\"fenced\":%b,\"in_controlled_shutdown\":%b,\"incarnation\":\"%s\"",
                broker.id(), broker.epoch(), broker.fenced(), broker.inControlledShutdown(), broker.incarnationId());
        }
    }

    private void tellTopics(TopicsDelta delta, String head) {
        for (Uuid id : delta.deletedTopicIds()) {
            tell(head, "topic-removed", "\"topic\":\"%s\"", image.topics().getTopic(id).name());
        }
        for (TopicDelta topic : delta.changedTopics().values()) {
            if (image.topics().getTopic(topic.id()) == null) {
                tell(head, "topic", "\"topic\":\"%s\",\"id\":\"%s\"", topic.name(), topic.id());
            }
            for (Map.Entry<Integer, PartitionRegistration> change : new TreeMap<>(topic.partitionChanges()).entrySet()) {
                PartitionRegistration partition = change.getValue();
                tell(head, "partition", "\"topic\":\"%s\",\"partition\":%d,\"replicas\":%s,\"isr\":%s,\"leader\":%d,\"leader_epoch\":%d,"
                    + "\"partition_epoch\":%d,\"elr\":%s,\"last_known_elr\":%s,\"adding\":%s,\"removing\":%s",
                    topic.name(), change.getKey(), Arrays.toString(partition.replicas), Arrays.toString(partition.isr), partition.leader,
                    partition.leaderEpoch, partition.partitionEpoch, Arrays.toString(partition.elr), Arrays.toString(partition.lastKnownElr),
                    Arrays.toString(partition.addingReplicas), Arrays.toString(partition.removingReplicas));
            }
        }
    }

    private void tell(String head, String kind, String fields, Object... values) {
        // Kafka allows only letters, digits, ".", "_" and "-" in a topic's name, so that nothing here needs escaping.
        out.print(head + ",\"kind\":\"" + kind + "\"," + String.format(Locale.ROOT, fields, values) + "}\n");
    }

    private void forget() {
        image = MetadataImage.EMPTY;
        nextOffset = 0;
        out.print("{\"kind\":\"restart\"}\n");
    }

    private File segmentAt(long baseOffset) {
        return new File(folder, String.format(Locale.ROOT, "%020d.log", baseOffset));
    }
}
