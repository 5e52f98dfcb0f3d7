"""Faults: how they are written, whom they hit, and which verbs they take."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from pydantic import TypeAdapter

from kafkasim.faults import FAULTS, AnyFault, ClusterVerbs, Fault, Lasts, Verb, WaitInSync, fault_words
from kafkasim.protocol.records import TopicPartition
from kafkasim.scenario import Scenario, ScenarioError
from kafkasim.selectors import parse_selector, resolve, resolve_all
from kafkasim.values import parse_bound, parse_duration, parse_keys

_READER: TypeAdapter[Fault] = TypeAdapter(AnyFault)
BASE = """\
topics: {orders: {partitions: 2}}
producers:
  - {name: shop, topic: orders}
consumers:
  - {group: billing, topics: [orders], members: 2}
faults:
"""


def fault(**fields: object) -> Fault:
    return _READER.validate_python({"at": "1s", "node": "brokers", **{key.replace("__", "."): value for key, value in fields.items()}})


def problems(line: str) -> list[str]:
    with pytest.raises(ScenarioError) as refusal:
        Scenario.loads(BASE + f"  - {line}\n", "x.yaml")
    return [problem.sentence for problem in refusal.value.problems]


# ---------------------------------------------------------------------------------------------------- verbs


@pytest.mark.parametrize(
    ("word", "begin", "end"),
    [
        ("crash", "kill", "start"),
        ("power-loss", "power_off", "start"),
        ("shutdown", "stop", "start"),
        ("pause", "pause", "resume"),
    ],
)
def test_a_fault_of_processes_hits_every_node_at_once_and_undoes_it(word: str, begin: str, end: str) -> None:
    happened = fault(fault=word, **{"for": "5s"})
    assert list(happened.steps(("broker-1", "shop"), ())) == [
        Verb(begin, ("broker-1",)),
        Verb(begin, ("shop",)),
        Lasts(5000.0),
        Verb(end, ("broker-1",)),
        Verb(end, ("shop",)),
    ]
    assert happened.capabilities == {begin, end}


def test_without_for_a_fault_lasts_until_the_final_heal() -> None:
    assert Lasts(None) in list(fault(fault="crash").steps(("broker-1",), ()))


def test_a_partition_cuts_both_ways_and_no_node_from_itself() -> None:
    cut = fault(fault="partition")
    assert cut.begin(("broker-1",), ("broker-1", "broker-2", "controller-100")) == [
        Verb("cut", ("broker-1", "broker-2")),
        Verb("cut", ("broker-2", "broker-1")),
        Verb("cut", ("broker-1", "controller-100")),
        Verb("cut", ("controller-100", "broker-1")),
    ]
    assert cut.end(("broker-1",), ("broker-2",)) == [Verb("join", ("broker-1", "broker-2")), Verb("join", ("broker-2", "broker-1"))]


def test_a_one_way_partition_holds_back_only_what_the_node_sends() -> None:
    cut = fault(fault="partition", **{"one-way": True})
    assert cut.begin(("broker-1",), ("broker-2", "shop")) == [Verb("cut", ("broker-1", "broker-2")), Verb("cut", ("broker-1", "shop"))]


def test_nodes_that_are_both_ends_are_cut_from_each_other_once() -> None:
    verbs = fault(fault="partition").begin(("broker-1", "broker-2"), ("broker-1", "broker-2"))
    assert verbs == [Verb("cut", ("broker-1", "broker-2")), Verb("cut", ("broker-2", "broker-1"))]


def test_without_from_the_other_ends_are_all_that_are_not_hit() -> None:
    everybody = ("broker-1", "broker-2", "broker-3", "shop")
    cut = fault(fault="partition")
    assert cut.others_of(("broker-1", "broker-3"), everybody) == ("broker-2", "shop")  # type: ignore[attr-defined]


def test_the_other_faults_of_links_and_disks_carry_their_numbers() -> None:
    assert fault(fault="delay", latency__ms=40, jitter__ms=5).begin(("broker-1",), ("shop",)) == [
        Verb("delay", ("broker-1", "shop", 40.0, 5.0)),
        Verb("delay", ("shop", "broker-1", 40.0, 5.0)),
    ]
    assert fault(fault="delay", latency__ms=40).end(("broker-1",), ("shop",)) == [
        Verb("undelay", ("broker-1", "shop")),
        Verb("undelay", ("shop", "broker-1")),
    ]
    reset = fault(fault="disconnect")
    assert reset.begin(("broker-1", "broker-2"), ("broker-2", "broker-1", "shop")) == [
        Verb("reset", ("broker-1", "broker-2")),
        Verb("reset", ("broker-1", "shop")),
        Verb("reset", ("broker-2", "shop")),
    ]
    assert reset.end(("broker-1",), ("shop",)) == []
    drop = fault(fault="drop-responses", probability=0.5)
    assert drop.begin(("broker-1",), ("shop",)) == [Verb("drop_responses", ("broker-1", "shop", 0.5))]
    assert drop.end(("broker-1",), ("shop",)) == [Verb("stop_dropping", ("broker-1", "shop"))]
    slow = fault(fault="slow-disk", write__ms=3)
    assert slow.begin(("broker-1",), ()) == [Verb("slow_disk", ("broker-1", 3.0))]
    assert slow.end(("broker-1",), ()) == [Verb("fast_disk", ("broker-1",))]


def test_a_bounce_takes_one_node_after_another_and_waits_for_each() -> None:
    bounce = fault(fault="bounce", how="crash", at__most="20s")
    assert list(bounce.steps(("broker-1", "broker-2"), ())) == [
        Verb("kill", ("broker-1",)),
        Verb("start", ("broker-1",)),
        WaitInSync("broker-1", 20_000.0),
        Verb("kill", ("broker-2",)),
        Verb("start", ("broker-2",)),
        WaitInSync("broker-2", 20_000.0),
    ]
    assert bounce.capabilities == {"kill", "start"}
    assert fault(fault="bounce").capabilities == {"stop", "start"}
    assert bounce.end(("broker-1",), ()) == [Verb("start", ("broker-1",))]


def test_every_verb_a_fault_needs_is_one_that_a_backend_may_offer() -> None:
    needed = {"write.ms": 1, "latency.ms": 1, "node": "brokers", "partition": "orders", "election": "unclean", "to": [1], "topic": "orders"}
    needed["config"] = {"min.insync.replicas": 2}
    for word, made in zip(fault_words(), FAULTS, strict=True):
        keys = {field.alias or name for name, field in made.model_fields.items()}
        one = _READER.validate_python({"fault": word, "at": "0s", **{key: value for key, value in needed.items() if key in keys}})
        assert one.capabilities
        assert all(hasattr(ClusterVerbs, verb) for verb in one.capabilities)


# ---------------------------------------------------------------------------------------------------- selectors


class View:
    """A cluster in which broker-2 leads orders-0, nobody leads orders-1, and broker-1 is out of every ISR."""

    brokers = ("broker-1", "broker-2", "broker-3")
    controllers = ("controller-100", "controller-101", "controller-102")
    active_controller = "controller-101"
    producers = ("shop",)
    consumers = ("billing-0", "billing-1")

    def leader(self, partition: TopicPartition) -> int | None:
        return {0: 2, 1: None}[partition.partition]

    def replicas(self, partition: TopicPartition) -> Sequence[int]:
        return {"orders": (2, 3, 1)}[partition.topic]

    def isr(self, partition: TopicPartition) -> Sequence[int]:
        return {"orders": (3, 2)}[partition.topic]

    def coordinator(self, group: str) -> int | None:
        return {"billing": 3}[group]

    def named(self, name: str) -> Sequence[str]:
        return ("broker-2",) if name == "zombie" else ()


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        ("leader(orders-0)", ("broker-2",)),
        ("leader(orders-1)", ()),
        ("followers(orders-0)", ("broker-1", "broker-3")),
        ("follower(orders-0)", ("broker-1",)),
        ("isr(orders-0)", ("broker-2", "broker-3")),
        ("broker(3)", ("broker-3",)),
        ("brokers", ("broker-1", "broker-2", "broker-3")),
        ("controller", ("controller-101",)),
        ("controller(102)", ("controller-102",)),
        ("controllers", ("controller-100", "controller-101", "controller-102")),
        ("coordinator(billing)", ("broker-3",)),
        ("producer(shop)", ("shop",)),
        ("consumer(billing-1)", ("billing-1",)),
        ("clients", ("shop", "billing-0", "billing-1")),
        ("$zombie", ("broker-2",)),
        ("$later", ()),
    ],
)
def test_a_selector_means_the_nodes_of_this_moment_and_is_written_as_it_was_read(text: str, nodes: tuple[str, ...]) -> None:
    assert resolve(parse_selector(text), View()) == nodes
    assert str(parse_selector(text)) == text


def test_several_selectors_name_each_node_once() -> None:
    selectors = [parse_selector(text) for text in ("leader(orders-0)", "brokers", "controller")]
    assert resolve_all(selectors, View()) == ("broker-2", "broker-1", "broker-3", "controller-101")


def test_topics_and_groups_may_have_dashes_and_dots() -> None:
    selector = parse_selector("leader(my-own.topic-12)")
    assert selector.partition == TopicPartition("my-own.topic", 12)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("leader", "`leader` is not a selector; it is written leader(T-P)"),
        ("broker-2", "`broker-2` is not a selector; it is written broker(2)"),
        ("leder(orders-0)", "`leder(orders-0)` is not a selector; did you mean `leader(T-P)`?"),
        ("leader(orders)", "leader(orders) lacks a number; it takes the topic, a dash and the partition, for example leader(orders-0)"),
        ("broker(one)", "broker(one) names no broker; it is written broker(N), and ids count from 1"),
        ("$", "$ alone names no fault; it is written $name, where an earlier fault says `as: name`"),
        (3, "3 is not a selector; it is written like leader(orders-0) or broker(1)"),
    ],
)
def test_what_is_no_selector_is_one_sentence(text: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=r".") as refusal:
        parse_selector(text)
    assert str(refusal.value) == sentence


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{at: 1s, fault: crash, node: leader(order-0)}", "leader(order-0): there is no topic `order`; did you mean `orders`?"),
        ("{at: 1s, fault: crash, node: isr(orders-2)}", "isr(orders-2): the topic has no partition 2; there is orders-0 to orders-1."),
        ("{at: 1s, fault: crash, node: broker(4)}", "broker(4): there is no broker 4; the cluster's brokers are 1 to 3."),
        ("{at: 1s, fault: crash, node: producer(shp)}", "producer(shp): there is no producer `shp`; did you mean `shop`?"),
        (
            "{at: 1s, fault: crash, node: consumer(billing-2)}",
            "consumer(billing-2): the group has no such member; there is billing-0 to billing-1.",
        ),
        ("{at: 1s, fault: crash, node: coordinator(biling)}", "coordinator(biling): there is no group `biling`; did you mean `billing`?"),
        ("{at: 1s, fault: crash, node: $me, as: me}", "$me: no earlier fault says `as: me`."),
        ("{at: 1s, fault: crash, node: []}", "an empty list selects nobody."),
        ("{fault: crash, node: brokers}", "a fault says when it fires: `at: 3s` for a time, or `when:` for progress."),
        ("{at: 1s, when: {sent: 1, producer: shop}, fault: crash, node: brokers}", "a fault has either `at` or `when`; this one has both."),
        ("{when: {sent: 1}, fault: crash, node: brokers}", "`sent` needs `producer:` to say whose."),
        (
            "{when: {processed: 1, producer: shop, group: billing}, fault: crash, node: brokers}",
            "`processed` takes `group:`, and `producer:` has no meaning beside it.",
        ),
        (
            "{when: {sent: 1, acked: 1, producer: shop}, fault: crash, node: brokers}",
            "a `when` has exactly one of sent, acked and processed; this one has sent and acked.",
        ),
        ("{when: {acked: 5, producer: shp}, fault: crash, node: brokers}", "there is no producer `shp`; did you mean `shop`?"),
        ("{when: {processed: 5, group: biling}, fault: crash, node: brokers}", "there is no group `biling`; did you mean `billing`?"),
        ("{at: 1s, fault: crash, node: brokers, as: '1'}", "`1` would be taken for the fault's index; a name has a letter in it."),
        (
            "{at: 1s, fault: crash, node: brokers, from: clients}",
            "unknown key `from`: this fault has none; it belongs to partition, delay, disconnect, drop-responses.",
        ),
        ("{at: 1s, fault: partition, node: brokers, one-way: yes}", "'yes' is neither true nor false."),
        ("{at: 1s, fault: delay, node: brokers}", "`latency.ms` is missing: what is added to each way."),
        ("{at: 1s, fault: drop-responses, node: brokers, probability: 2}", "2 is not a probability; it is a number from 0 to 1."),
        (
            "{at: 1s, fault: slow-disk, node: clients, write.ms: 3}",
            "slow-disk on clients: a client keeps no log whose writes could be slow.",
        ),
        ("{at: 1s, fault: slow-disk, node: controller, write.ms: 3}", "slow-disk on controller: only a broker's disk can be slow."),
        ("{at: 1s, fault: bounce, node: controller}", "bounce on controller: only a broker has an ISR to wait for."),
        (
            "{at: 1s, fault: drop-responses, node: producer(shop)}",
            "drop-responses on producer(shop): a client answers nobody; give the broker as `node` and the client as `from`.",
        ),
        ("{at: 1s, fault: bounce, node: brokers, how: gently}", "`gently` is not one of shutdown, crash."),
        (
            "{at: 1s, node: brokers}",
            "`fault` is missing: what goes wrong, one of "
            "crash, power-loss, shutdown, pause, partition, delay, disconnect, drop-responses, slow-disk, bounce, "
            "elect, reassign, alter-config.",
        ),
    ],
)
def test_a_fault_that_cannot_be_is_one_sentence(line: str, sentence: str) -> None:
    assert problems(line) == [sentence]


def test_a_fault_may_speak_of_an_earlier_one_only() -> None:
    both = BASE + "  - {at: 1s, fault: pause, node: leader(orders-0), as: first, for: 1s}\n  - {at: 5s, fault: crash, node: $first}\n"
    assert str(Scenario.loads(both).faults[1].node[0]) == "$first"
    twice = both + "  - {at: 6s, fault: pause, node: brokers, as: first}\n"
    with pytest.raises(ScenarioError, match="an earlier fault is called `first` too"):
        Scenario.loads(twice)


def test_a_for_without_effect_is_noted() -> None:
    scenario = Scenario.loads(BASE + "  - {at: 1s, fault: disconnect, node: brokers, for: 3s}\n")
    assert scenario.notes == ("faults.0: a disconnect ends by itself; `for` has no effect.",)


# ---------------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize(("text", "ms"), [("300ms", 300), ("3.2s", 3200), ("2min", 120_000), ("1h", 3_600_000), ("0.1ms", 0.1), ("0s", 0)])
def test_durations_are_numbers_with_a_unit(text: str, ms: float) -> None:
    assert parse_duration(text) == ms


@pytest.mark.parametrize("value", [3, 3.5, "3", "s", "-3s", "3 seconds", True, None, ""])
def test_anything_else_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match=r"3\.2s"):
        parse_duration(value)


@pytest.mark.parametrize(
    ("written", "holding", "missing"),
    [
        (3, [3, 3.0], [2, 4]),
        ([2, 4], [2, 3, 4], [1.9, 4.1]),
        ("> 0", [0.1, 1], [0, -1]),
        (">= 3", [3], [2]),
        ("== 0", [0], [1]),
        ("0", [0], [1]),
        ("< 0.5", [0.4], [0.5]),
        ("!= 1", [0], [1]),
    ],
)
def test_a_bound_holds_within_and_not_without(written: object, holding: list[float], missing: list[float]) -> None:
    bound = parse_bound(written)
    assert [bound.holds(value) for value in holding] == [True] * len(holding)
    assert [bound.holds(value) for value in missing] == [False] * len(missing)
    assert not bound.holds(None)


def test_keys_are_read_and_written_alike() -> None:
    assert [str(parse_keys(text)) for text in ("none", "uniform(10)", "zipf(100,1.1)")] == ["none", "uniform(10)", "zipf(100, 1.1)"]
