"""A real Ray cluster of two nodes (two raylets on this machine), of which workers and a node are killed."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from miso.errors import ConfigError
from miso.launch import Launch, map_units

HERE = Path(__file__).parent
ray = pytest.importorskip("ray", reason="Ray is an extra")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray's own processes and files
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def cluster():
    """A head that does no units, and two nodes of one core each; the last test ends one of them."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]))
        patch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        cluster.nodes_of_work = [cluster.add_node(num_cpus=1) for _ in range(2)]
        yield cluster
        ray.shutdown()
        cluster.shutdown()


def on(cluster, **more):
    return Launch(engine="ray", address=cluster.address, **more)


def test_units_are_spread_over_nodes_and_accidents_fail_alone(chores, cluster, tmp_path):
    names = ["a", "bad", "crash", "bug", "killed-once-1", "b", "c"]
    report = map_units(chores.units(*names), chores.Chores(tmp_path, 0.3), on(cluster, retries=1))
    failed = {outcome.unit: outcome for outcome in report.having("failed")}
    assert sorted(failed) == ["bad", "bug", "crash"]
    assert failed["bad"].message == "bad is truncated"
    assert failed["crash"].message.endswith("begun 2 times")
    assert "KeyError" in failed["bug"].message
    assert "accident" in failed["bug"].fault
    assert sorted(outcome.unit for outcome in report.having("done")) == ["a", "b", "c", "killed-once-1"]
    assert len({process for _, process in chores.lines(tmp_path, "end")}) >= 2


def test_a_hanging_unit_is_given_up_and_its_actor_replaced(chores, cluster, tmp_path):
    report = map_units(chores.units("hang", "a", "b"), chores.Chores(tmp_path), on(cluster, deadline_s=12.0))
    assert [outcome.unit for outcome in report.having("failed")] == ["hang"]
    assert "no result after 12 s" in report.having("failed")[0].message
    assert len(report.having("done")) == 2


def test_units_of_a_node_that_dies_are_done_by_the_other(chores, cluster, tmp_path):
    names = [f"unit{number:02}" for number in range(12)]

    def kill_a_worker_and_then_a_node():
        while len(started := chores.lines(tmp_path, "begin") if (tmp_path / "log").exists() else []) < 3:
            time.sleep(0.05)
        os.kill(int(started[-1][1]), signal.SIGKILL)
        time.sleep(1.0)
        cluster.remove_node(cluster.nodes_of_work[0], allow_graceful=False)

    killer = threading.Thread(target=kill_a_worker_and_then_a_node)
    killer.start()
    report = map_units(chores.units(*names), chores.Chores(tmp_path, 0.4), on(cluster))
    killer.join()
    assert {outcome.state for outcome in report.outcomes} == {"done"}
    assert sorted(name for name, _ in chores.lines(tmp_path, "end")) == names
    assert max(outcome.attempts for outcome in report.outcomes) >= 2


class NowhereElse:
    """Work that no other process can take in."""

    def __reduce__(self):
        return (__import__, ("a_module_that_is_nowhere",))


def test_a_worker_that_cannot_start_ends_the_batch_with_its_reason(chores, cluster):
    with pytest.raises(ConfigError, match=r"a worker cannot start on the cluster.*a_module_that_is_nowhere"):
        map_units(chores.units("a"), NowhereElse(), on(cluster))


def test_no_cluster_at_an_address_is_told_in_one_line(chores, tmp_path):
    with pytest.raises(ConfigError, match=r"no Ray cluster at 127\.0\.0\.1:1"):
        map_units(chores.units("a"), chores.Chores(tmp_path), Launch(engine="ray", address="127.0.0.1:1"))
