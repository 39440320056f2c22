"""The plan of a run: all its options, checked and typed, before anything is loaded."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from posecli.inputs.arguments import Inputs
from posecli.inputs.clips import ClipOptions
from posecli.run.destinations import Destinations, Policy
from posecli.run.expectations import Expectations
from posecli.types import ImageInput, Settings


class EngineName(Enum):
    """Where inference runs."""

    AUTO = "auto"
    SERIAL = "serial"
    PROCESSES = "processes"
    RAY = "ray"


class Verbosity(Enum):
    """How much is printed on standard error."""

    QUIET = "quiet"
    NORMAL = "normal"
    VERBOSE = "verbose"


@dataclass(frozen=True)
class InputNames:
    """The inputs as named on the command line.

    null: the list in files_from is separated by NUL.
    as_clip: the pictures of each folder are the frames of a clip.
    watch: a folder whose pictures are processed as they arrive.
    remote_folders: see `Inputs`.
    """

    arguments: tuple[str, ...]
    files_from: str | None = None
    null: bool = False
    as_clip: bool = False
    watch: str | None = None
    remote_folders: dict[str, bool] = field(default_factory=dict, compare=False)

    def inputs(self, written: Sequence[tuple[str, str]] = ()) -> Inputs:
        """The inputs, which can be iterated once. Raises UsageError if arguments contradict each other."""
        return Inputs(
            self.arguments,
            files_from=self.files_from,
            null=self.null,
            as_clip=self.as_clip,
            watch=self.watch,
            written=written,
            remote_folders=self.remote_folders,
        )


@dataclass(frozen=True)
class Concurrency:
    """How the work is distributed.

    workers, threads: None: depends on the machine.
    timeout: seconds for one picture or frame.
    ray_address: address of a running cluster; None: start one.
    max_memory: bytes per process; None: an equal share of the memory.
    """

    workers: int | None
    threads: int | None
    timeout: float
    ray_address: str | None = None
    max_memory: int | None = None


@dataclass(frozen=True)
class RunPlan:
    """The plan of a run.

    model: a known name or a path; None: the default model.
    zoom_model: a known name or a path; None: no such model.
    progress: whether a progress bar is shown; None: if standard error is a terminal.
    """

    names: InputNames
    settings: Settings
    clip_options: ClipOptions
    destinations: Destinations
    policy: Policy
    engine: EngineName
    concurrency: Concurrency
    expectations: Expectations
    model: str | None = None
    zoom_model: str | None = None
    offline: bool = False
    fail_fast: bool = False
    progress: bool | None = None
    verbosity: Verbosity = Verbosity.NORMAL

    def inputs(self) -> Inputs:
        """The inputs, which can be iterated once. Raises UsageError if arguments contradict each other."""
        return self.names.inputs(written=self.destinations.folders())

    def checked_inputs(self) -> tuple[Inputs, Iterable[ImageInput]]:
        """Check the outputs before a model is loaded. Return the inputs, and an iterable of them for the run.

        The inputs are listed completely if two of them could have the same output file, or if an output folder is not
        empty. Raises UsageError, MissingExtra.
        """
        destinations, inputs = self.destinations, self.inputs()
        destinations.check(self.policy)
        destinations.check_tracks(self.settings)
        destinations.check_faces(self.settings.to_dict())
        if inputs.watch is not None:
            destinations.check_endless(inputs.watch.folder, self.policy)
            return inputs, inputs
        again = inputs.can_be_listed_again()
        if inputs.is_one_file() and again:
            as_clip = self.names.as_clip
            name = next(iter(self.inputs())).name if as_clip else self.names.arguments[0]
            destinations.check_one_input(name, as_clip=as_clip)
        if not destinations.folders():
            return inputs, inputs
        may_exist = self.policy is not Policy.RESUME and destinations.may_have_files()
        if not again and not may_exist:
            return inputs, destinations.without_collisions(inputs)
        listed = inputs if again else list(inputs)
        if may_exist or inputs.may_collide():
            distinct = destinations.without_collisions(self.inputs() if again else listed)
            destinations.check_files(distinct, self.policy) if may_exist else deque(distinct, maxlen=0)
        return inputs, listed
