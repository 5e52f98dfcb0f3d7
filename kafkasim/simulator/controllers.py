"""The controllers of one run: one alone, or a quorum, each with its disk; and what all of them have committed, as an observer sees it."""

from __future__ import annotations

from collections.abc import Mapping

from kafkasim.protocol.config import TopicConfig
from kafkasim.protocol.controller import Controller
from kafkasim.protocol.messages import MetadataRecord
from kafkasim.protocol.metadata_log import ControllerDisk
from kafkasim.protocol.node import Trace, controller_name
from kafkasim.protocol.quorum_controller import QuorumController
from kafkasim.protocol.replication_control import ControllerState
from kafkasim.randomness import Streams
from kafkasim.scenario import Scenario
from kafkasim.simulator.driver import Driver


class Controllers:
    """`state` is the truth of the cluster: one controller's own state, or what a quorum has committed, whoever leads it."""

    def __init__(self, scenario: Scenario, topic_configs: Mapping[str, TopicConfig], driver: Driver, streams: Streams) -> None:
        self.ids = scenario.controller_ids
        self._topic_configs = topic_configs
        self.state = ControllerState(scenario.eligible_leader_replicas)
        self.state.topic_configs.update(topic_configs)
        self._behaviours = scenario.profile.behaviours
        self._config = scenario.broker_config()
        self._driver = driver
        self._streams = streams
        self._disks = {controller_name(controller_id): ControllerDisk() for controller_id in self.ids}
        self._ids = dict(zip(self._disks, self.ids, strict=True))

    def launch(self, name: str, trace: Trace | None) -> None:
        """Start the process of the controller `name` on its host."""
        host, now = self._driver.hosts[name], self._driver.now
        controller: Controller | QuorumController
        if len(self.ids) == 1:
            controller = Controller(self._ids[name], self._config, self.state, trace, self._behaviours)
        else:
            random = self._streams.uniform(f"{name}/{host.incarnation}")
            configs, disk = self._topic_configs, self._disks[name]
            controller = QuorumController(
                self._ids[name],
                self.ids,
                self._config,
                configs,
                disk,
                random,
                now,
                trace,
                on_commit=self._committed,
                behaviours=self._behaviours,
                eligible_leader_replicas=self.state.eligible_leader_replicas,
            )
        self._driver.start(host, controller, controller.start(now))

    def _committed(self, offset: int, record: MetadataRecord) -> None:
        """Some controller has learnt that a record is committed. The first to learn it is believed; no other may ever contradict it."""
        if offset == self.state.log_end_offset:
            self.state.append(record)
        assert self.state.records[offset] == record, "what is committed never changes"
