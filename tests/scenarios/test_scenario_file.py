"""Scenario files: what is read, what is refused and with which sentence, and what can be changed afterwards."""

from __future__ import annotations

import pickle
import random
from pathlib import Path

import pytest

from kafkasim.protocol.flavours import Client
from kafkasim.scenario import Scenario, ScenarioError, schema
from kafkasim.scenario_file import parse_assignment, parse_scalar, read_properties, read_yaml, shipped_scenarios

# The example of the design, word for word.
FULL = """\
name: zombie-leader
title: acks=1, and a leader that is cut off from its peers but not from its clients
kafka: "4.1"                  # profile: whose defaults and behaviours
seed: 1
cluster:
  brokers: 3                  # ids from 1
  controllers: 1
  config: {broker.session.timeout.ms: 3000, broker.heartbeat.interval.ms: 500}     # goes to every broker and controller
  startup.ms: 3000
  shutdown.ms: 1200
network: {latency.ms: 0.3, jitter.ms: 0.1}
topics:
  orders: {partitions: 1, replication.factor: 3, config: {min.insync.replicas: 2}}
producers:
  - name: shop
    topic: orders
    client: java              # java | librdkafka: whose defaults and meanings
    records: 5000
    rate: 500                 # records per second
    arrivals: constant        # constant | poisson
    keys: none                # none | uniform(N) | zipf(N, s)
    record.size: 100          # bytes of the value
    on.failure: drop
    on.restart: continue
    config: {acks: 1, retries: 3, retry.backoff.ms: 300}
consumers:
  - group: billing
    topics: [orders]
    members: 1                # from 0: billing-0, billing-1 …
    client: java
    start: 0s
    commit: after-processing
    threads: 4
    poll.timeout.ms: 200
    processing.ms: 2
    dedup: none
    dedup.order: mark-last
    config: {max.poll.records: 500}
faults:
  - {at: 3s, fault: partition, node: leader(orders-0), from: [brokers, controller], for: 6s, as: zombie}
  - {when: {processed: 1050, group: billing}, fault: crash, node: consumer(billing-0), for: 5s}
expect: {acked_lost: [2900, 3400], reprocessed: "> 0"}
"""

SMALL = """\
topics: {orders: {}}
producers:
  - {name: shop, topic: orders}
consumers:
  - {group: billing, topics: [orders]}
"""


def problems(text: str, source: str = "bad.yaml") -> list[str]:
    with pytest.raises(ScenarioError) as refusal:
        Scenario.loads(text, source)
    return [str(problem) for problem in refusal.value.problems]


def refused(changes: dict[str, object], scenario: Scenario | None = None) -> list[str]:
    with pytest.raises(ScenarioError) as refusal:
        (scenario or Scenario.loads(SMALL)).with_(changes)
    return [str(problem) for problem in refusal.value.problems]


# ---------------------------------------------------------------------------------------------------- what is read


def test_a_profile_is_named_by_a_text_or_by_a_number_and_its_defaults_are_said_to_be_its_own() -> None:
    for text in ('kafka: "3.6"\n', "kafka: 3.6\n"):
        scenario = Scenario.loads(text + SMALL)
        linger = next(value for value in scenario.effective() if value.key == "linger.ms")
        assert (linger.value, linger.origin) == (0, "default of Kafka 3.6")
    assert Scenario.loads(SMALL).scenario_id != scenario.scenario_id


def test_eligible_leader_replicas_are_on_in_4_1_unless_the_clusters_features_say_otherwise() -> None:
    scenario = Scenario.loads(SMALL)
    off = scenario.with_({"cluster.features.eligible.leader.replicas.version": 0})
    on = scenario.with_({"cluster.features.eligible.leader.replicas.version": 1})
    assert [each.eligible_leader_replicas for each in (scenario, off, on)] == [True, False, True]
    assert scenario.scenario_id == on.scenario_id != off.scenario_id
    assert pickle.loads(pickle.dumps(off)) == off
    assert not Scenario.loads('kafka: "3.6"\n' + SMALL).eligible_leader_replicas


def test_3_6_has_no_reset_by_duration() -> None:
    key = "consumers.billing.config.auto.offset.reset"
    group = "consumers:\n  - {group: billing, topics: [orders], start: 1s}\n"
    older = Scenario.loads('kafka: "3.6"\n' + SMALL + ("" if "consumers:" in SMALL else group))
    assert refused({key: "by_duration:PT1S"}, older) == [
        f"--set: {key}: Kafka 3.6 has no auto.offset.reset=by_duration:PT1S: it came with 4.0 (KIP-1106)."
    ]


def test_3_6_has_no_features_that_came_later_and_4_1_no_misspelt_ones() -> None:
    key = "cluster.features.eligible.leader.replicas.version"
    assert refused({key: 0}, Scenario.loads("kafka: 3.6\n" + SMALL)) == [
        f"--set: {key}: Kafka 3.6 has no eligible.leader.replicas.version: it came with 4.0 (KIP-966)."
    ]
    assert refused({"cluster.features.elr.version": 0}) == [
        "--set: cluster.features.elr.version: `elr.version` is not a feature that is modelled; known: eligible.leader.replicas.version."
    ]


def test_in_3_6_it_is_said_what_min_insync_replicas_above_the_factor_and_unclean_election_do() -> None:
    topic = {"topics.orders.config.min.insync.replicas": 4, "topics.orders.config.unclean.leader.election.enable": True}
    assert Scenario.loads("kafka: 3.6\n" + SMALL).with_(topic).notes == (
        "topics.orders: min.insync.replicas=4 is above replication.factor=3; before Kafka 3.7 acks=all is then refused for ever.",
        "topics.orders: unclean.leader.election.enable=true has no effect: Kafka 3.6 does not heed it in KRaft mode.",
    )


def test_the_example_of_the_design_is_read_as_it_says() -> None:
    scenario = Scenario.loads(FULL, "zombie.yaml")
    shop, billing = scenario.producer("shop"), scenario.consumer("billing")
    assert scenario.cluster.startup_ms == 3000
    assert scenario.network.latency_ms == 0.3
    assert (shop.client, shop.records, shop.rate, shop.record_size, shop.on_failure) == (Client.JAVA, 5000, 500, 100, "drop")
    assert (billing.start_ms, billing.processing_ms, billing.poll_timeout_ms, billing.nodes) == (0, 2, 200, ("billing-0",))
    assert [str(fault) for fault in scenario.faults] == [
        "partition of leader(orders-0) at 3s for 6s",
        "crash of consumer(billing-0) when billing has processed 1050 for 5s",
    ]
    assert scenario.expect["acked_lost"].holds(2900)
    assert not scenario.expect["acked_lost"].holds(3401)
    assert not scenario.expect["reprocessed"].holds(0)
    assert scenario.topic_config("orders").min_insync_replicas == 2
    assert scenario.broker_config().broker_session_timeout_ms == 3000
    settings = scenario.producer_settings("shop")
    assert (settings.acks, settings.enable_idempotence, settings.retry_backoff_ms) == (1, False, 300)
    assert scenario.consumer_settings("billing").enable_auto_commit is False
    assert scenario.notes == ("producers.shop: acks=1 switched the defaulted enable.idempotence off, in silence.",)


def test_what_is_left_out_has_the_defaults_of_the_design() -> None:
    scenario = Scenario.loads(SMALL)
    shop, billing = scenario.producers[0], scenario.consumers[0]
    assert (scenario.seed, scenario.kafka, scenario.cluster.brokers, scenario.cluster.controllers) == (1, "4.1", 3, 1)
    assert (scenario.cluster.startup_ms, scenario.cluster.shutdown_ms) == (3000, 1200)
    assert (scenario.network.latency_ms, scenario.network.jitter_ms) == (0.3, 0.1)
    assert (scenario.topics["orders"].partitions, scenario.topics["orders"].replication_factor) == (1, 3)
    assert (shop.records, shop.rate, shop.arrivals, str(shop.keys), shop.record_size) == (5000, 500, "constant", "none", 100)
    assert (shop.on_failure, shop.on_restart, shop.spool_retry_ms) == ("drop", "continue", 1000)
    assert (billing.members, billing.start_ms, billing.commit, billing.threads) == (1, 0, "after-processing", 4)
    assert (billing.worker_commit, billing.poll_timeout_ms, billing.processing_ms) == ("polled", 200, 0)
    assert (billing.dedup, billing.dedup_order, billing.dedup_url, billing.dedup_ms) == ("none", "mark-last", None, 0.5)


def test_every_shipped_scenario_loads_under_its_own_name() -> None:
    assert {"calm", "zombie-leader"} <= set(shipped_scenarios())
    assert [Scenario.load(name).name for name in shipped_scenarios()] == list(shipped_scenarios())


def test_a_file_without_a_name_is_called_after_the_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(SMALL)
    assert Scenario.load(tmp_path / "mine.yaml").name == "mine"


def test_yaml_is_read_as_version_1_2_means_it() -> None:
    data, _, _ = read_yaml("a: yes\nb: true\nc: 010\nd: 1:30\ne: 2024-01-01\nf: 1e3\ng: off\nh: ~\ni: 0x10", "x")
    assert data == {"a": "yes", "b": True, "c": 10, "d": "1:30", "e": "2024-01-01", "f": 1000.0, "g": "off", "h": None, "i": 16}


def test_a_text_that_looks_like_a_number_in_yaml_1_2_survives_the_round_trip() -> None:
    scenario = Scenario.loads(SMALL).with_({"title": "1e3", "name": "true", "cluster.config.log.dirs": "0o17"})
    assert Scenario.loads(scenario.to_yaml()) == scenario


@pytest.mark.parametrize("text", [FULL, SMALL])
def test_written_and_read_again_it_is_the_same_scenario(text: str) -> None:
    scenario = Scenario.loads(text)
    again = Scenario.loads(scenario.to_yaml())
    assert again == scenario
    assert again.scenario_id == scenario.scenario_id
    assert again.to_yaml() == scenario.to_yaml()


def test_a_scenario_travels_to_another_process_whole() -> None:
    scenario = Scenario.loads(FULL, "zombie.yaml")
    copy = pickle.loads(pickle.dumps(scenario))
    assert copy == scenario
    assert copy.effective() == scenario.effective()
    assert copy.producer_settings("shop") == scenario.producer_settings("shop")


# ---------------------------------------------------------------------------------------------------- what is refused


def test_all_problems_come_at_once_with_line_and_path_in_the_order_of_the_file() -> None:
    bad = """\
name: x
titel: hi
cluster: {brokers: 2, controllers: 2, config: {broker.session.timeout: 3000}}
topics:
  orders: {partitons: 2}
producers:
  - name: shop
    topic: order
    records: 0
    client: jaba
consumers:
  - {group: billing, topics: [orders], start: 3}
faults:
  - {at: 3, fault: partition, node: leader(orders-1), as: zombie}
  - {at: 3s, fault: crash, node: leader(orders-7)}
  - {at: 3s, fault: crsh, node: brokers}
  - {at: 3s, fault: crash, node: $zombi}
expect: {acked_los: 0}
"""
    assert problems(bad) == [
        "bad.yaml:2: titel: unknown key `titel`; did you mean `title`?",
        "bad.yaml:3: cluster.controllers: 2 is no good quorum; there may be 1, or 3 to survive one failure, or 5 to survive two.",
        "bad.yaml:3: cluster.config.broker.session.timeout: broker.session.timeout is not a setting of a broker; "
        "did you mean broker.session.timeout.ms?",
        "bad.yaml:5: topics.orders.partitons: unknown key `partitons`; did you mean `partitions`?",
        "bad.yaml:5: topics.orders.replication.factor: 3 (the default) is more replicas than there are brokers: the cluster has 2.",
        "bad.yaml:8: producers.shop.topic: there is no topic `order`; did you mean `orders`?",
        "bad.yaml:9: producers.shop.records: a producer of 0 records shows nothing; the least is 1.",
        "bad.yaml:10: producers.shop.client: `jaba` is not one of java, librdkafka; did you mean `java`?",
        "bad.yaml:12: consumers.billing.start: 3 has no unit; a duration is written like 300ms, 3.2s, 2min or 1h.",
        "bad.yaml:14: faults.zombie.at: 3 has no unit; a duration is written like 300ms, 3.2s, 2min or 1h.",
        "bad.yaml:15: faults.1.node: leader(orders-7): the topic has no partition 7; there is orders-0 to orders-1.",
        "bad.yaml:16: faults.2: `crsh` is not a fault; did you mean `crash`?",
        "bad.yaml:17: faults.3.node: $zombi: no earlier fault says `as: zombi`; did you mean `zombie`?",
        "bad.yaml:18: expect.acked_los: no report has a number `acked_los`; did you mean `acked_lost`?",
    ]


def test_nothing_is_said_that_only_follows_from_another_mistake() -> None:
    # The number of partitions is unreadable, so nobody knows whether there is a partition 3.
    bad = SMALL.replace("{orders: {}}", "{orders: {partitions: many}}") + "faults:\n  - {at: 0s, fault: crash, node: leader(orders-3)}\n"
    assert problems(bad) == ["bad.yaml:1: topics.orders.partitions: 'many' is not a whole number."]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "x.yaml: holds no scenario: it is empty"),
        ("# nothing\n", "x.yaml: holds no scenario: it is empty"),
        ("- a\n", "x.yaml:1: a scenario is a mapping: keys with values, from `name:` on"),
        ("a: &b [*b]", "x.yaml:1: not a scenario: an anchor stands inside itself"),
        (
            "name: x\nb: [",
            "x.yaml:2:5: not readable as YAML: expected the node content, but found '<stream end>' (while parsing a flow node)",
        ),
        ("a: 1\n---\nb: 2\n", "x.yaml:2:1: not readable as YAML: it holds more than one document (a second `---`)"),
    ],
)
def test_what_is_no_mapping_in_yaml_is_one_sentence(text: str, sentence: str) -> None:
    assert problems(text, "x.yaml") == [sentence]


def test_aliases_that_unfold_without_end_are_refused_instead_of_eating_the_memory() -> None:
    bomb = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
        f"{here}: &{here} [{','.join(f'*{before}' for _ in range(10))}]\n" for before, here in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert "its aliases unfold into too many values" in problems(bomb)[0]


def test_a_key_that_stands_twice_is_refused_with_both_lines() -> None:
    assert problems("name: x\nname: y\n" + SMALL) == ["bad.yaml:2: `name` stands twice in one mapping; the first is on line 1"]


def test_a_missing_key_says_what_it_is_for() -> None:
    assert problems("topics: {orders: {}}\nproducers: [{name: shop}]") == [
        "bad.yaml:2: producers.shop.topic: `topic` is missing: the topic it writes to."
    ]


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("kafka", "3.7", "Kafka 3.7 is not modelled; what is: 4.1, 3.6; did you mean 3.6?"),
        ("kafka", "latest", "Kafka latest is not modelled; what is: 4.1, 3.6."),
        ("cluster.features.eligible.leader.replicas.version", 2, "2 is not a level of this feature; it is 0 (off) or 1 (on)."),
        ("seed", -1, "-1 is not a seed; it is a whole number from 0 on."),
        ("cluster.brokers", True, "True is not a whole number."),
        ("cluster.startup.ms", "3s", "'3s' is not a number of milliseconds; the key says .ms, so it is written like 300 or 0.5."),
        ("topics.orders.partitions", 0, "0 is too few; the least is 1."),
        ("topics.orders.replication.factor", 4, "4 is more replicas than there are brokers: the cluster has 3."),
        ("producers.shop.rate", 0, "0 records per second is no rate; it must be above 0."),
        (
            "producers.shop.keys",
            "zipf(3)",
            "'zipf(3)' is not a way to draw keys; it is none, uniform(N) or zipf(N, s), for example zipf(100, 1.1).",
        ),
        ("cluster.truncation", "kip-320", "`kip-320` is not one of kip595, kip320, kip279, kip101, hw; did you mean `kip320`?"),
        ("expect.findings.divergd", 0, "no report has a number `findings.divergd`; did you mean `findings.diverged`?"),
        ("producers.shop.on.failure", "retry", "`retry` is not one of drop, resend, spool."),
        ("producers.shop.config", [1], "expects keys with values, not [1]."),
        ("producers.shop.config.acks", 7, "acks=7 is not valid: it must be one of all, -1, 0, 1."),
        ("producers.shop.name", "broker-1", "`broker-1` is already the name of a node of the cluster."),
        ("producers.shop.name", "billing-0", "`billing-0` is already the name of a member of the group `billing`."),
        ("producers.shop.name", "a b", "'a b' cannot be a name; Kafka takes letters, digits, '.', '_' and '-', at most 249 of them."),
        ("producers", [], "a scenario needs at least one producer; where no record is sent, none can be lost."),
        ("consumers.billing.topics", "orders", "expects a list, not `orders`."),
        ("consumers.billing.topics", ["orders", "orders"], "`orders` stands in the list twice."),
        ("consumers.billing.poll.timeout.ms", 0, "0 is too short: a poll that did not wait would spin; the least is 1."),
        ("expect.acked_lost", "many", "'many' is not a bound; it is a number, [low, high], or a comparison like \"> 0\"."),
        ("expect.acked_lost", [3, 1], "[3, 1] holds nothing: the low end comes first."),
        ("sometimes.groups.biling.lost", 0, "there is no group `biling`; did you mean `billing`?"),
        ("network.links.broker-1>broker-9.latency.ms", 3, "there is no node `broker-9`; did you mean `broker-3`?"),
    ],
)
def test_a_wrong_value_is_one_sentence(path: str, value: object, sentence: str) -> None:
    said = refused({path: value})
    assert len(said) == 1
    assert said[0].startswith("--set: ")
    assert said[0].endswith(f": {sentence}")


def test_two_groups_of_one_name_and_two_producers_of_one_name_are_refused() -> None:
    twice = SMALL.replace("producers:\n", "producers:\n  - {name: shop, topic: orders}\n")
    twice += "  - {group: billing, topics: [orders]}\n"
    assert problems(twice) == [
        "bad.yaml:4: producers.shop.name: `shop` is already the name of another producer.",
        "bad.yaml:7: consumers.billing.group: the group `billing` stands here a second time; give it more `members`.",
    ]


def test_a_missing_file_a_directory_and_an_unknown_name_are_one_sentence_each(tmp_path: Path) -> None:
    for name, sentence in [
        ("zombie-leadr", "there is neither a file nor a shipped scenario of that name; did you mean `zombie-leader`?"),
        (str(tmp_path / "none.yaml"), "there is no such file"),
        (str(tmp_path), "is a directory, not a file"),
    ]:
        with pytest.raises(ScenarioError) as refusal:
            Scenario.load(name)
        assert str(refusal.value) == f"{name}: {sentence}"


def test_a_file_that_is_no_text_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("title: café".encode("latin-1"))
    with pytest.raises(ScenarioError, match="is not a text in UTF-8"):
        Scenario.load(tmp_path / "latin.yaml")


@pytest.mark.parametrize(
    "text", ["a: !!int x", "a: !!float x", "a: !!bool x", "a: !!binary x", "? [a]\n: b", "<<: {a: 1}", "[" * 5000, "\0"]
)
def test_no_oddity_of_yaml_gives_a_traceback(text: str) -> None:
    assert problems(text)


def test_a_file_with_slips_of_the_pen_is_a_scenario_or_a_list_of_sentences() -> None:
    elsewhere = []
    for seed in range(150):
        dice = random.Random(seed)
        letters = list(FULL)
        for _ in range(dice.randint(1, 4)):
            place = dice.randrange(len(letters))
            letters[place : place + dice.randint(0, 12)] = dice.choice("{}[]:,-#&*!|>'\"%@\n\t 0x~")
        try:
            Scenario.loads("".join(letters), "slip.yaml")
        except ScenarioError as error:
            elsewhere += [str(problem) for problem in error.problems if not problem.where.startswith("slip.yaml")]
    assert elsewhere == []


# ---------------------------------------------------------------------------------------------------- commit


def test_commit_sets_auto_commit_unless_the_configuration_does() -> None:
    scenario = Scenario.loads(SMALL)
    assert scenario.consumer_settings("billing").enable_auto_commit is False
    assert scenario.with_({"consumers.billing.commit": "auto"}).consumer_settings("billing").enable_auto_commit is True
    explicit = scenario.with_({"consumers.billing.commit": "auto", "consumers.billing.config.enable.auto.commit": "true"})
    assert explicit.consumer_settings("billing").enable_auto_commit is True


def test_commit_auto_against_the_configuration_is_refused_and_so_is_the_reverse() -> None:
    [said] = refused({"consumers.billing.commit": "auto", "consumers.billing.config.enable.auto.commit": False})
    assert "enable.auto.commit is false, but `commit: auto` leaves committing to the client" in said
    [said] = refused({"consumers.billing.config.enable.auto.commit": True})
    assert "enable.auto.commit is true, but `commit: after-processing` commits by hand" in said


def test_a_session_that_no_coordinator_accepts_is_refused_for_either_client() -> None:
    [said] = refused({"consumers.billing.config.session.timeout.ms": 5999})
    assert "session.timeout.ms 5999 is below group.min.session.timeout.ms (6000): brokers answer INVALID_SESSION_TIMEOUT" in said
    [said] = refused({"consumers.billing.client": "librdkafka", "cluster.config.group.max.session.timeout.ms": 44999})
    assert "session.timeout.ms 45000 is above group.max.session.timeout.ms (44999)" in said
    lower = Scenario.loads(SMALL).with_(
        {"cluster.config.group.min.session.timeout.ms": 4000, "consumers.billing.config.session.timeout.ms": 4000}
    )
    assert lower.consumer_settings("billing").session_timeout_ms == 4000


def test_librdkafka_has_its_own_words_and_settings() -> None:
    scenario = Scenario.loads(SMALL).with_({"producers.shop.client": "librdkafka", "producers.shop.config.message.timeout.ms": 7000})
    assert scenario.producer_settings("shop").delivery_timeout_ms == 7000
    assert "max.block.ms" in refused({"producers.shop.config.max.block.ms": 1}, scenario)[0]


# ---------------------------------------------------------------------------------------------------- paths


def test_paths_reach_every_part_by_name_or_index() -> None:
    scenario = Scenario.loads(FULL)
    changed = scenario.with_(
        {
            "producers.shop.config.retry.backoff.ms": 100,
            "producers.0.rate": 250,
            "faults.zombie.for": "8s",
            "faults.1.when.processed": 7,
            "consumers.billing.processing.ms": 1,
            "topics.orders.config.min.insync.replicas": 1,
            "cluster.config.broker.session.timeout.ms": 6000,
            "network.links.broker-1>broker-2.latency.ms": 40,
            "expect.acked_lost": "> 0",
        }
    )
    assert changed.producer_settings("shop").retry_backoff_ms == 100
    assert changed.producer("shop").rate == 250
    assert changed.faults[0].for_ms == 8000
    assert changed.faults[1].when is not None
    assert changed.faults[1].when.count == 7
    assert changed.consumer("billing").processing_ms == 1
    assert changed.topic_config("orders").min_insync_replicas == 1
    assert changed.broker_config().broker_session_timeout_ms == 6000
    assert changed.network.between("broker-1", "broker-2") == (40, 0.1)
    assert changed.network.between("broker-2", "broker-1") == (0.3, 0.1)
    assert changed.expect["acked_lost"].holds(1)
    assert scenario == Scenario.loads(FULL), "a scenario never changes"


def test_a_topic_with_dots_in_its_name_is_reached_by_the_longest_name_that_fits() -> None:
    text = "topics: {a: {}, a.b: {}}\nproducers: [{name: shop, topic: a.b}]"
    scenario = Scenario.loads(text).with_({"topics.a.b.partitions": 4})
    assert [topic.partitions for topic in scenario.topics.values()] == [1, 4]


def test_none_takes_a_value_away() -> None:
    scenario = Scenario.loads(FULL).with_({"producers.shop.config.acks": None, "faults.zombie.for": None})
    assert scenario.producer_settings("shop").acks == -1
    assert scenario.faults[0].for_ms is None


def test_a_list_can_be_replaced_whole() -> None:
    assert Scenario.loads(FULL).with_({"faults": []}).faults == ()


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("producers.shp.rate", "--set: there is no `producers.shp.rate`; did you mean `producers.shop.rate`?"),
        ("producers.shop.rat", "--set: there is no `producers.shop.rat`; did you mean `producers.shop.rate`?"),
        ("faults.zombie.form", "--set: there is no `faults.zombie.form`; did you mean `faults.zombie.for`?"),
        (
            "producers.shop.rate.x",
            "--set: there is no `producers.shop.rate.x`: `producers.shop.rate` is a single value, with nothing inside",
        ),
        ("", "--set: the path is empty; it is written like producers.shop.config.acks"),
    ],
)
def test_an_unknown_path_names_the_nearest_right_one(path: str, sentence: str) -> None:
    assert refused({path: 1}, Scenario.loads(FULL)) == [sentence]


def test_all_wrong_paths_are_said_at_once() -> None:
    assert len(refused({"clster.brokers": 1, "seeds": 2})) == 2


def test_assignments_read_their_value_as_the_file_would() -> None:
    assert parse_assignment("producers.shop.config.acks=1") == ("producers.shop.config.acks", 1)
    assert parse_assignment("a=b=c") == ("a", "b=c")
    assert [parse_scalar(text) for text in ("all", "8s", "true", "yes", "[1, 2]", "{sent: 3}", "> 0", "", "0.5", "[")] == [
        "all",
        "8s",
        True,
        "yes",
        [1, 2],
        {"sent": 3},
        "> 0",
        None,
        0.5,
        "[",
    ]
    with pytest.raises(ScenarioError, match="PATH=VALUE"):
        parse_assignment("producers.shop.config.acks")


# ---------------------------------------------------------------------------------------------------- overlays, origins


def test_properties_are_read_as_java_reads_them(tmp_path: Path) -> None:
    file = tmp_path / "producer.properties"
    file.write_text(
        "# a comment\n ! another\n\nacks = 1\nlinger.ms:20\nretries 3\nbatch.size=\\\n    100\\\n    00\n"
        "a\\ b\\=c=x=y\nunicode=caf\\u00e9\\tx\nempty\nbackslash=C:\\\\\nacks=all\n"
    )
    properties = read_properties(file)
    assert properties == {
        "acks": "all",
        "linger.ms": "20",
        "retries": "3",
        "batch.size": "10000",
        "a b=c": "x=y",
        "unicode": "café\tx",
        "empty": "",
        "backslash": "C:\\",
    }
    assert (properties.lines["batch.size"], properties.lines["acks"]) == (7, 14)


def test_an_overlay_reaches_all_clients_of_its_kind_except_what_belongs_to_a_place(tmp_path: Path) -> None:
    file = tmp_path / "producer.properties"
    file.write_text("bootstrap.servers=localhost:9092\nacks=0\ncompression.type=lz4\n")
    two = SMALL.replace("producers:\n", "producers:\n  - {name: other, topic: orders, config: {acks: all}}\n")
    scenario = Scenario.loads(two, "two.yaml").overlay("producer", read_properties(file), "producer.properties")
    assert [scenario.producer_settings(name).acks for name in ("other", "shop")] == [0, 0]
    assert "producer.properties:1: bootstrap.servers belongs to a place, not to behaviour; left out." in scenario.notes
    assert scenario.not_modelled == ("producers.other.config.compression.type", "producers.shop.config.compression.type")
    assert scenario.consumers[0].config == {}


def test_an_overlay_that_kafka_does_not_know_is_refused_with_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "consumer.properties"
    file.write_text("\nmax.poll.record=3\n")
    with pytest.raises(ScenarioError) as refusal:
        Scenario.loads(SMALL).overlay("consumer", read_properties(file), "consumer.properties")
    assert str(refusal.value).startswith(
        "consumer.properties:2: consumers.billing.config.max.poll.record: max.poll.record is not a setting"
    )


def test_the_origin_of_every_effective_value_is_known() -> None:
    scenario = Scenario.loads(FULL, "zombie.yaml").overlay("producer", {"linger.ms": "9"}, "p.properties")
    scenario = scenario.with_({"producers.shop.config.retries": 5, "cluster.config.log.flush.interval.messages": 1})
    origins = {(place, key): (value, origin) for place, key, value, origin in scenario.effective()}
    assert origins["producers.shop", "acks"] == ("1", "zombie.yaml:25")
    assert origins["producers.shop", "linger.ms"] == (9, "p.properties")
    assert origins["producers.shop", "retries"] == (5, "--set")
    assert origins["producers.shop", "batch.size"] == (16384, "default of Kafka 4.1")
    assert origins["producers.shop", "enable.idempotence"] == (False, "follows from other values")
    assert origins["consumers.billing", "enable.auto.commit"] == (False, "`commit:`, zombie.yaml:32")
    assert origins["cluster", "broker.session.timeout.ms"] == (3000, "zombie.yaml:8")
    assert origins["topics.orders", "min.insync.replicas"] == (2, "zombie.yaml:13")
    assert origins["topics.orders", "flush.messages"] == (1, "the brokers' configuration")


def test_a_min_insync_replicas_above_the_replication_factor_is_accepted_and_noted() -> None:
    scenario = Scenario.loads(SMALL).with_({"topics.orders.config.min.insync.replicas": 4})
    assert scenario.notes == ("topics.orders: min.insync.replicas=4 is above replication.factor=3; what counts is the smaller.",)


# ---------------------------------------------------------------------------------------------------- identity, schema


def test_scenarios_that_behave_alike_have_one_id_and_others_have_not() -> None:
    scenario = Scenario.loads(SMALL)
    same = scenario.with_({"seed": 9, "title": "x", "producers.shop.config.acks": "all", "producers.shop.rate": 500.0, "expect.acked": 3})
    assert same.scenario_id == scenario.scenario_id
    others: list[dict[str, object]] = [
        {"producers.shop.config.acks": 1},
        {"producers.shop.rate": 501},
        {"cluster.config.replica.lag.time.max.ms": 9000},
        {"consumers.billing.commit": "auto"},
        {"faults": [{"at": "0s", "fault": "crash", "node": "broker(1)"}]},
    ]
    assert len({scenario.scenario_id, *(scenario.with_(change).scenario_id for change in others)}) == 6


def test_the_schema_describes_every_key_and_kafkas_parameters() -> None:
    document = schema()
    parts = document["$defs"]
    assert document["additionalProperties"] is False
    assert all(
        "description" in key for part in ("Cluster", "Topic", "Producer", "ConsumerGroup") for key in parts[part]["properties"].values()
    )
    assert "the Java producer" in parts["Producer"]["properties"]["config"]["properties"]["acks"]["description"]
    assert parts["ConsumerGroup"]["properties"]["start"]["default"] == "0s"
    assert set(parts) >= {
        "Crash",
        "PowerLoss",
        "Shutdown",
        "Pause",
        "Partition",
        "Delay",
        "Disconnect",
        "DropResponses",
        "SlowDisk",
        "Bounce",
    }


# ---------------------------------------------------------------------------------------------------- expectations


def test_missed_expectations_are_said_with_the_seed_that_missed_them() -> None:
    scenario = Scenario.loads(SMALL).with_({"expect.acked_lost": [1, 3], "expect.groups.billing.lost": 0, "sometimes.reprocessed": "> 0"})

    def report(seed: int, lost: int, reprocessed: int) -> dict[str, object]:
        return {
            "seed": seed,
            "acked_lost": lost,
            "groups": {"billing": {"lost": 0, "reprocessed": reprocessed}},
            "latency_ms": {"p99": 4.0},
        }

    assert scenario.missed_expectations([report(1, 2, 0), report(2, 3, 4)]) == []
    assert scenario.missed_expectations([report(1, 2, 0), report(2, 4, 0)]) == [
        "seed 2: acked_lost is 4, expected between 1 and 3",
        "in no run was reprocessed > 0, which is expected sometimes; it was 0, 0",
    ]
    slow = scenario.with_({"expect": {"latency_ms.p99": "< 4"}, "sometimes": {}})
    assert slow.missed_expectations([report(1, 2, 0)]) == ["seed 1: latency_ms.p99 is 4.0, expected < 4"]
