"""What the tool does: install, up, down, status, kill, restart, lock. Each may be repeated."""

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import msgspec

from tests.stack import members, state
from tests.stack.engines.known import KNOWN, chosen
from tests.stack.engines.port import Engine
from tests.stack.errors import StackError
from tests.stack.lock import Locked, read_lock, verify, write_lock
from tests.stack.members import Member
from tests.stack.places import Places
from tests.stack.state import EngineUp

READY_S = 90.0
STOP_S = 30.0

Say = Callable[[str], None]


def install(places: Places, names: Sequence[str], say: Say) -> None:
    """Bring engines here that are not; check them against the lock."""
    _all_at_once([partial(_install, places, engine, say) for engine in _by_package(names)])


def up(places: Places, names: Sequence[str], say: Say) -> None:
    """Install, set up and start engines; what runs is left alone, what was killed comes back with its data."""
    install(places, names, say)
    _all_at_once([partial(_up, places, engine, say) for engine in chosen(names)])


def down(places: Places, names: Sequence[str], say: Say) -> None:
    """End engines and delete what they wrote; without names, all of them."""
    stack = state.load(places.state)
    for name in names or tuple(stack.engines):
        if name not in KNOWN:
            chosen([name])
        engine = stack.engines.get(name)
        if engine is None:
            say(f"{name} is not up")
            continue
        for member in engine.members:
            members.kill(member)
            shutil.rmtree(member.folder, ignore_errors=True)
        state.take(places.state, name)
        say(f"{name} is down")
    if not state.load(places.state).engines:
        shutil.rmtree(places.run, ignore_errors=True)


def status(places: Places, say: Say) -> None:
    """Say what is up, where, and who may log in."""
    stack = state.load(places.state)
    if not stack.engines:
        say("nothing is up")
    for name, engine in sorted(stack.engines.items()):
        dead = [member.name for member in engine.members if not member.is_alive()]
        health = f"dead: {', '.join(dead)}" if dead else KNOWN[name].lacks(engine) or "ready"
        ports = ", ".join(f"{purpose} {port}" for purpose, port in engine.ports.items())
        pids = ", ".join(str(member.pid) for member in engine.members)
        say(f"{name} {engine.version}: {health}; ports of 127.0.0.1: {ports}; processes: {pids}")
        for login in engine.logins.values():
            say(f"    {login.user}: {login.password}")


def kill(places: Places, names: Sequence[str], say: Say) -> None:
    """Kill engines, or single members of them, as a power cut would; their data stay."""
    for _, member in _named(places, names):
        members.kill(member)
        say(f"{member.name} is killed")


def restart(places: Places, names: Sequence[str], say: Say) -> None:
    """Stop engines or members in order where they run, and start them with their data, one after the other."""
    for engine_name, member in _named(places, names):
        began = time.monotonic()
        members.stop(member, timeout_s=STOP_S)
        started = _start(places, state.load(places.state).engine(engine_name), [member.name])
        _await(KNOWN[engine_name], started)
        say(f"{member.name} is back after {time.monotonic() - began:.1f} s")


def lock(places: Places, names: Sequence[str], say: Say) -> None:
    """Download engines anew and write their hashes to the lock file."""
    fresh = read_lock()
    for engine in _by_package(names):
        with tempfile.TemporaryDirectory(dir=_made(places.engines)) as folder:
            hashes = engine.install(Path(folder) / "new")
        fresh[engine.package] = Locked(engine.version, hashes)
        say(f"{engine.package}: {len(hashes)} files")
    write_lock(fresh)


def _install(places: Places, engine: Engine, say: Say) -> None:
    target = _installed(places, engine)
    if target.exists():
        return
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=_made(places.engines)) as folder:
        new = Path(folder) / "new"
        hashes = engine.install(new)
        told = verify(engine.package, read_lock().get(engine.package), hashes, is_moving=engine.is_moving)
        new.rename(target)
    if told:
        say(told)
    say(f"{engine.package} {engine.version} is installed after {time.monotonic() - began:.1f} s")


def _up(places: Places, engine: Engine, say: Say) -> None:
    began = time.monotonic()
    known = state.load(places.state).engines.get(engine.name)
    if known is not None and not known.is_complete:
        down(places, [engine.name], lambda _: None)
        known = None
    up_now = known or engine.set_up(_installed(places, engine), places.run)
    was_dead = not all(member.is_alive() for member in up_now.members)
    up_now = _start(places, up_now, [member.name for member in up_now.members])
    _await(engine, up_now)
    if known is None:
        engine.make_users(up_now)
        state.put(places.state, msgspec.structs.replace(up_now, is_complete=True))
    how = f"up after {time.monotonic() - began:.1f} s" if was_dead else "up already"
    say(f"{engine.name} {engine.version} is {how}, port {up_now.ports['client']} of 127.0.0.1")


def _start(places: Places, engine: EngineUp, names: Sequence[str]) -> EngineUp:
    """Start members; what is written down names every process before anything else is done with it."""
    environ = KNOWN[engine.name].environ(engine)
    started = tuple(members.start(member, environ) if member.name in names else member for member in engine.members)
    engine = msgspec.structs.replace(engine, members=started)
    state.put(places.state, engine)
    return engine


def _await(engine: Engine, up_now: EngineUp) -> None:
    alive = [member for member in up_now.members if member.is_alive()]
    members.await_ready(alive or up_now.members, lambda: engine.lacks(up_now), timeout_s=READY_S)


def _named(places: Places, names: Sequence[str]) -> list[tuple[str, Member]]:
    """Return (engine, member) for names of either."""
    stack = state.load(places.state)
    if not names:
        raise StackError(f"say which: {', '.join(stack.engines) or 'nothing is up'}")
    found: list[tuple[str, Member]] = []
    for name in names:
        engine = stack.engine(name.partition(".")[0])
        picked = [member for member in engine.members if name in (engine.name, member.name)]
        if not picked:
            raise StackError(
                f"{engine.name} has no member {name!r}; it has {', '.join(m.name for m in engine.members)}"
            )
        found += [(engine.name, member) for member in picked]
    return found


def _by_package(names: Sequence[str]) -> list[Engine]:
    return list({engine.package: engine for engine in reversed(chosen(names))}.values())


def _installed(places: Places, engine: Engine) -> Path:
    return places.engines / f"{engine.package}-{engine.version}"


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _all_at_once(works: Sequence[Callable[[], None]]) -> None:
    """Do works in parallel, each to its end; raise the first failure."""
    with ThreadPoolExecutor(max(1, len(works))) as threads:
        running = [threads.submit(work) for work in works]
    for one in running:
        one.result()
