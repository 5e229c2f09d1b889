"""The stages in order, each in a child process; an error becomes an Outcome that names its stage."""

from edgevit.pipeline.benching import bench, bench_all, reachable
from edgevit.pipeline.bisecting import bisect
from edgevit.pipeline.bundling import bundle
from edgevit.pipeline.calibrating import choose as choose_calibration
from edgevit.pipeline.differing import diff
from edgevit.pipeline.drawing import course, curves
from edgevit.pipeline.export import export, too_little
from edgevit.pipeline.gaining import gains
from edgevit.pipeline.how import How
from edgevit.pipeline.inspecting import inspect
from edgevit.pipeline.look import draw_evaluation, explain, refuse_evaluated, refuse_reported
from edgevit.pipeline.matrix import Asked, matrix
from edgevit.pipeline.measure import (
    demo,
    demo_bench,
    demo_report,
    predict,
    profile,
    read_bench,
    refuse_bench,
    report,
    write_bench,
)
from edgevit.pipeline.mixing import analyse, budget
from edgevit.pipeline.pairs import Pair, left_out, merged, pairs, taking
from edgevit.pipeline.parity import parity
from edgevit.pipeline.planning import kinds, plan, planned
from edgevit.pipeline.recheck import artifact_folders, check, read_artifact
from edgevit.pipeline.road import read as read_road
from edgevit.pipeline.running import read as read_run
from edgevit.pipeline.running import run
from edgevit.pipeline.runtimes import required
from edgevit.pipeline.shards import write_shards
from edgevit.pipeline.sweeping import Asked as SweepAsked
from edgevit.pipeline.sweeping import begun as sweep_begun
from edgevit.pipeline.sweeping import rules as sweep_rules
from edgevit.pipeline.sweeping import space as sweep_space
from edgevit.pipeline.sweeping import sweep, train_best_rate
from edgevit.pipeline.taught import lost as lost_origin
from edgevit.pipeline.training import (
    can_go_on,
    choose_data,
    evaluate,
    goes_on,
    mend,
    require_alone,
    resume,
    settings,
    speaks,
    train,
)
from edgevit.pipeline.verifying import verify
from edgevit.pipeline.weights import export_weights, import_weights
from edgevit.planning.grid import Grid

__all__ = [
    "Asked",
    "Grid",
    "How",
    "Pair",
    "SweepAsked",
    "analyse",
    "artifact_folders",
    "bench",
    "bench_all",
    "bisect",
    "budget",
    "bundle",
    "can_go_on",
    "check",
    "choose_calibration",
    "choose_data",
    "course",
    "curves",
    "demo",
    "demo_bench",
    "demo_report",
    "diff",
    "draw_evaluation",
    "evaluate",
    "explain",
    "export",
    "export_weights",
    "gains",
    "goes_on",
    "import_weights",
    "inspect",
    "kinds",
    "left_out",
    "lost_origin",
    "matrix",
    "mend",
    "merged",
    "pairs",
    "parity",
    "plan",
    "planned",
    "predict",
    "profile",
    "reachable",
    "read_artifact",
    "read_bench",
    "read_road",
    "read_run",
    "refuse_bench",
    "refuse_evaluated",
    "refuse_reported",
    "report",
    "require_alone",
    "required",
    "resume",
    "run",
    "settings",
    "speaks",
    "sweep",
    "sweep_begun",
    "sweep_rules",
    "sweep_space",
    "taking",
    "too_little",
    "train",
    "train_best_rate",
    "verify",
    "write_bench",
    "write_shards",
]
