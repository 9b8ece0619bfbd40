"""The pure parts of the tool that runs the real engines (tests/stack)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stack import state
from tests.stack.engines.kafka import bootstrap, properties
from tests.stack.engines.known import KNOWN, USUAL, chosen
from tests.stack.engines.mysql import options, user_statements
from tests.stack.engines.neo4j import settings
from tests.stack.engines.port import free_ports, new_logins
from tests.stack.errors import StackError
from tests.stack.fetch import pom
from tests.stack.lock import LOCK_FILE, Locked, differences, hashes_of, read_lock, verify, write_lock
from tests.stack.members import Member, began_at, kill
from tests.stack.places import Places
from tests.stack.state import EngineUp, Login, Stack


def engine_up(name: str = "kafka") -> EngineUp:
    return EngineUp(name, "1", (Member(name, ("sleep", "60"), "/nowhere"),), {"client": 1, "sasl": 2, "client.2": 3})


def test_the_stack_lies_in_the_users_cache_unless_a_place_is_named() -> None:
    assert Places.of({"HOME": "/home/u"}).home == Path("/home/u/.cache/grit/stack")
    assert Places.of({"HOME": "/home/u", "XDG_CACHE_HOME": "/c"}).home == Path("/c/grit/stack")
    assert Places.of({"HOME": "/home/u", "GRIT_STACK_HOME": "/s"}).home == Path("/s")


def test_what_is_up_is_read_as_it_was_written_by_its_user_only(tmp_path: Path) -> None:
    file = tmp_path / "run" / "stack.json"
    assert state.load(file) == Stack()
    state.put(file, engine_up("kafka"))
    state.put(file, engine_up("mysql"))
    state.take(file, "kafka")
    assert state.load(file) == Stack({"mysql": engine_up("mysql")})
    assert file.stat().st_mode & 0o077 == 0


def test_an_engine_that_is_not_up_is_told_with_the_command() -> None:
    with pytest.raises(StackError, match=r"neo4j is not up: run `python -m tests.stack up neo4j`"):
        Stack().engine("neo4j")


def test_a_process_is_known_by_its_begin_so_that_a_stranger_with_its_number_is_left_alone(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        mine = Member("m", (), str(tmp_path), pid=process.pid, began=began_at(process.pid))
        stranger = Member("m", (), str(tmp_path), pid=process.pid, began=mine.began - 1)
        assert mine.is_alive()
        assert not stranger.is_alive()
        kill(stranger)
        assert process.poll() is None
        kill(mine)
        assert not mine.is_alive()
    finally:
        process.kill()
        process.communicate()
    assert began_at(process.pid) == 0


def test_a_name_with_brackets_and_spaces_hides_no_begin(tmp_path: Path) -> None:
    fields = ["S", *("1" for _ in range(18)), "4711", "0"]
    (tmp_path / "9").mkdir()
    (tmp_path / "9" / "stat").write_text(f"9 (a) Z (b)) {' '.join(fields)}")
    assert began_at(9, tmp_path) == 4711
    (tmp_path / "9" / "stat").write_text(f"9 (a) {' '.join(['Z', *fields[1:]])}")
    assert began_at(9, tmp_path) == 0


def test_free_ports_are_different() -> None:
    assert len(set(free_ports(9))) == 9


def test_the_usual_engines_are_meant_when_none_is_named_and_unknown_ones_refused() -> None:
    assert [engine.name for engine in chosen([])] == list(USUAL)
    assert [engine.name for engine in chosen(["mysql", "mysql"])] == ["mysql"]
    with pytest.raises(StackError, match="there is no engine 'oracle'; there is kafka"):
        chosen(["oracle"])


def test_the_lock_knows_every_engine_in_the_version_that_is_asked_for() -> None:
    lock = read_lock()
    for engine in KNOWN.values():
        assert lock[engine.package].version == engine.version
        assert all(len(digest) == 64 for digest in lock[engine.package].files.values())
    assert "://" not in LOCK_FILE.read_text(encoding="utf-8")


def test_a_lock_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "a.jar").write_bytes(b"abc")
    lock = {"x": Locked("1", hashes_of([tmp_path / "a.jar"]))}
    write_lock(lock, tmp_path / "lock.json")
    assert read_lock(tmp_path / "lock.json") == lock
    assert lock["x"].files["a.jar"].startswith("ba7816bf")


def test_what_is_other_new_or_missing_is_told() -> None:
    assert differences({"a": "1", "b": "1"}, {"a": "2", "c": "1"}) == [
        "a has another content",
        "b is missing",
        "c is not in the lock",
    ]


def test_a_fixed_version_must_be_as_locked_and_a_moving_one_is_told() -> None:
    locked = Locked("1", {"a": "1"})
    assert verify("kafka", locked, {"a": "1"}, is_moving=False) == ""
    with pytest.raises(StackError, match=r"kafka: 1 of 1 .* first: a has another content; if the change is meant"):
        verify("kafka", locked, {"a": "2"}, is_moving=False)
    assert "the suite has moved on" in verify("mysql", locked, {"a": "2"}, is_moving=True)
    with pytest.raises(StackError, match="a is not in the lock"):
        verify("kafka", None, {"a": "1"}, is_moving=False)


def test_three_brokers_know_each_other_and_ask_two_for_an_acknowledgement() -> None:
    ports = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    text = properties(2, ports, Path("/d"), Login("player", "p"))
    assert "controller.quorum.voters=1@127.0.0.1:3,2@127.0.0.1:6,3@127.0.0.1:9\n" in text
    assert "listeners=CLIENT://127.0.0.1:4,SASL://127.0.0.1:5,CONTROLLER://127.0.0.1:6\n" in text
    assert "min.insync.replicas=2\n" in text
    assert "min.insync.replicas=1\n" in properties(1, ports[:1], Path("/d"), Login("player", "p"))


def test_clients_are_given_every_broker_of_the_listener_that_they_want() -> None:
    assert bootstrap(engine_up()) == ["127.0.0.1:1", "127.0.0.1:3"]
    assert bootstrap(engine_up(), "sasl") == ["127.0.0.1:2"]


def test_mysql_syncs_every_commit_and_is_reached_on_loopback_only() -> None:
    given = options(Path("/r"), Path("/f"), 7)
    assert {"--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1", "--log-bin=binlog"} <= set(given)
    assert {"--bind-address=127.0.0.1", "--mysqlx=OFF"} <= set(given)


def test_the_reader_of_mysql_only_reads_and_nobody_has_more_than_our_databases() -> None:
    lines = user_statements(new_logins("owner", "dbtm", "player")).splitlines()
    grants = [line for line in lines if line.startswith("GRANT")]
    assert [line.partition(" TO ")[0] for line in grants] == [
        r"GRANT SELECT ON `grit\_%`.*",
        r"GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES ON `grit\_%`.*",
    ]


def test_neo4j_serves_bolt_on_loopback_and_tells_nobody() -> None:
    given = settings(7).splitlines()
    assert {"server.bolt.listen_address=127.0.0.1:7", "server.http.enabled=false"} <= set(given)
    assert "dbms.usage_report.enabled=false" in given


def test_a_project_for_maven_names_group_artifact_and_version() -> None:
    assert "<groupId>g</groupId><artifactId>a</artifactId><version>1</version>" in pom(["g:a:1"])


def test_the_tool_says_in_one_line_what_it_does_not_know() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.stack", "kill", "mysql"],
        env=os.environ | {"GRIT_STACK_HOME": "/proc/none"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("stack: /proc/none: ")
    assert done.stderr.count("\n") == 1
