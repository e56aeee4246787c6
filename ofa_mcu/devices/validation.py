"""One model, the same inputs, several witnesses: who computes which tensor differently, and in which layer first?

The numpy reference is compared with TFLite Micro (the truth), with LiteRT's reference kernels (a second opinion), and
with our own C: on this machine and on a board's core. Tensors that the passes did away with exist only for the first
two.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from ofa_mcu.devices.bench import measure
from ofa_mcu.devices.host_build import HostBuild, runs_here
from ofa_mcu.devices.link import Link
from ofa_mcu.devices.model_build import ModelFile
from ofa_mcu.devices.validation_checks import Checks, Eliminated, TensorCheck, Tensors, Validation, Witness
from ofa_mcu.devices.validation_records import DebugModel, flat_bytes, split_outputs
from ofa_mcu.devices.validation_twin import observe_on_twin, require_twin
from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph import interpreters, reference
from ofa_mcu.graph.apart import apart
from ofa_mcu.graph.pipeline import Optimized, optimize
from ofa_mcu.graph.verify import probe_inputs
from ofa_mcu.planning.core_model import core_model, core_of
from ofa_mcu.planning.facts import GraphFacts, analyse
from ofa_mcu.planning.places import arena_room
from ofa_mcu.planning.plan import make_plan
from ofa_mcu.profiles import BoardProfile

__all__ = [
    "CORES",
    "LITERT",
    "TFLM",
    "Eliminated",
    "TensorCheck",
    "Validation",
    "Witness",
    "debug_model",
    "validate_model",
]

CORES = ("cortex-m3", "cortex-m7")
"""Cores whose plans run on this machine where no board is named: one for each flavour of kernels that can."""

TFLM, LITERT = "TFLite Micro", "LiteRT reference"


def validate_model(
    model: ModelFile,
    profile: BoardProfile | None = None,
    *,
    emulate: bool = False,
    port: str | None = None,
    random: int = 2,
    seed: int = 0,
    out: Path = Path(),
    say: Callable[[str], None] = lambda text: None,
) -> Validation:
    """Runs extreme inputs and `random` random ones through everybody who is here.

    Args:
        model: the file.
        profile: the board whose plan is tested; None: plans for the cores of `CORES`, on this machine only.
        emulate: also on the board's twin, all tensors; needs `profile`.
        port: also on the board there, the outputs; it must run this model already.
        random: how many random inputs beside all lowest, all highest and all zero.
        seed: of the random inputs.
        out: where reproducers go.
        say: told what is going on.

    Raises:
        DeviceError: this machine's C compiler, the twin or the board is missing or fails.
        OfaMcuError: a layer has no kernel.
    """
    if emulate and profile is not None:
        require_twin(profile)
    with ExitStack() as stack:
        # the device first: if it is not there, nobody waits for the others
        link = None if port is None else stack.enter_context(Link(port))
        return _validated(model, profile, emulate, link, random, seed, out, say)


def _validated(
    model: ModelFile,
    profile: BoardProfile | None,
    emulate: bool,
    link: Link | None,
    random: int,
    seed: int,
    out: Path,
    say: Callable[[str], None],
) -> Validation:
    inputs = probe_inputs(model.graph, seed, random)
    say("numpy reference")
    expected = reference.run(model.graph, inputs)
    optimized = optimize(model.graph)
    checks = Checks(model, optimized, inputs, expected)
    checks.foreign(TFLM, True, lambda: _tflm(model, inputs, list(expected)), say)
    checks.foreign(LITERT, False, lambda: _litert(model, inputs, list(expected)), say)
    facts = analyse(optimized.graph)
    cores = CORES if profile is None else (core_of(profile),)
    codes = flat_bytes(checks.wanted, optimized.graph.structure.inputs)
    with HostBuild() as host:
        for core in cores:
            debug = debug_model(optimized, facts, core, profile)
            name = f"C for {core}, this machine"
            if not runs_here(debug.plan):
                checks.skip(
                    Witness(name, True, "its vector kernels run on the core only: name its board and --emulate")
                )
                continue
            say(name)
            checks.ours(name, host.run(debug, codes))
    if profile is not None and emulate:
        say(f"C for {profile.id}, emulated")
        debug = debug_model(optimized, facts, core_of(profile), profile)
        checks.ours(f"C for {profile.id}, emulated", observe_on_twin(debug, profile, codes))
    if profile is not None and link is not None:
        say(f"{profile.id} at {link.url}")
        measured = measure(link, codes, board=profile.id, model_crc32=model.crc32, repeats=0)
        checks.ours(f"{profile.id} at {link.url}", split_outputs(optimized.graph.structure, measured.outputs))
    return checks.done(seed, out)


def debug_model(optimized: Optimized, facts: GraphFacts, core: str, profile: BoardProfile | None) -> DebugModel:
    """The model planned for the core and the memory that a board has, as `compile` plans it."""
    room = None if profile is None else arena_room(profile)
    plan = make_plan(optimized.graph.structure, core_model(core), facts, room=room, thrifty=True)
    return DebugModel(optimized.graph, plan, facts)


def _tflm(model: ModelFile, inputs: Tensors, wanted: list[str]) -> Tensors:
    ordered = {name: inputs[name] for name in model.graph.structure.inputs}
    name = f"TFLite Micro {interpreters.tflm_version()}"
    return apart(lambda: interpreters.tflm_tensors(model.data, ordered, wanted), name)


def _litert(model: ModelFile, inputs: Tensors, wanted: list[str]) -> Tensors:
    if interpreters.litert_version() is None:
        raise OfaMcuError("LiteRT is not installed (pip install ai-edge-litert)")
    try:
        return interpreters.litert_tensors(model.data, {n: inputs[n] for n in model.graph.structure.inputs}, wanted)
    except (RuntimeError, ValueError) as error:
        raise OfaMcuError(f"LiteRT refuses the model ({str(error).splitlines()[0]})") from error
