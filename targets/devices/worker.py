"""One model, in a process of its own on a device: loaded, timed or asked for answers. Needs Python 3.9 and numpy.

An order comes as a line of JSON on stdin, and lines of JSON go to the descriptor that it names: what there is on the way, then
{"done": ...} or {"error": {"kind", "message"}}. It knows nothing of edgevit, and the agent beside it starts it.
"""

from __future__ import annotations

import ctypes
import gc
import glob
import json
import os
import signal
import sys
import time


class Fault(Exception):
    """Something that goes back as an error, of a `kind` that the other side knows."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind, self.message = kind, message


def read_text(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except (OSError, ValueError):
        return ""


def numbers(pattern):
    return [int(text) for text in map(read_text, sorted(glob.glob(pattern))) if text.lstrip("-").isdigit()]


def clock():
    """The mean of the cores, MHz; None where the system does not say."""
    told = [khz / 1000 for khz in numbers("/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")]
    if not told:
        lines = read_text("/proc/cpuinfo").splitlines()
        told = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
    return sum(told) / len(told) if told else None


def governor():
    paths = sorted(glob.glob("/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"))
    return ", ".join(sorted(set(filter(None, map(read_text, paths)))))


def celsius():
    """The hottest sensor; None where there is none."""
    told = numbers("/sys/class/thermal/thermal_zone*/temp") + numbers("/sys/class/hwmon/hwmon*/temp*_input")
    sane = [value / 1000 for value in told if 1000 < value < 150000]
    return max(sane, default=None)


def joules():
    """What the processor packages have taken since some moment; None where nobody may read it."""
    told = numbers("/sys/class/powercap/intel-rapl:[0-9]/energy_uj")
    return sum(told) / 1e6 if told else None


def jiffies():
    """All processor time so far and what of it was not idle, in seconds; None where the system does not say."""
    first = read_text("/proc/stat").partition("\n")[0].split()
    if len(first) < 9:
        return None
    values = [int(value) for value in first[1:9]]
    tick = os.sysconf("SC_CLK_TCK")
    return sum(values) / tick, (sum(values) - values[3] - values[4]) / tick


class Readings:
    """How the device is, time after time; `busy` is what others have taken since the last."""

    def __init__(self, since):
        self.since, self.last = since, self.spent()

    def spent(self):
        told, own = jiffies(), os.times()
        return told and (told[0], told[1] - own.user - own.system)

    def read(self):
        now, busy = self.spent(), None
        if now and self.last and now[0] > self.last[0]:
            busy = min(1.0, max(0.0, (now[1] - self.last[1]) / (now[0] - self.last[0])))
        self.last = now
        told = {"seconds": time.time() - self.since, "mhz": clock(), "governor": governor(), "celsius": celsius()}
        return dict(told, busy=busy)


def resident(peak):
    """Bytes that this process holds, or has held at most."""
    wanted = "VmHWM" if peak else "VmRSS"
    for line in read_text("/proc/self/status").splitlines():
        if line.startswith(wanted):
            return int(line.split()[1]) << 10
    if not peak:
        return None
    import resource

    told = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return told if sys.platform == "darwin" else told << 10


def files_of(path):
    if not os.path.isdir(path):
        return [path]
    return [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]


def drop(path):
    """Put a model out of the page cache; whether it is out, as far as the system can be asked."""
    return all(_dropped(name) for name in files_of(path))


def _dropped(path):
    if not hasattr(os, "posix_fadvise") or not hasattr(os, "RWF_NOWAIT"):
        return False
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        try:
            os.preadv(file.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT)
        except BlockingIOError:  # it would have to be read from where it lies
            return True
        except OSError:
            return False
    return False


class Litert:
    """A .tflite file by LiteRT, or by the older package that some devices have."""

    def __init__(self, order):
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            try:
                from tflite_runtime.interpreter import Interpreter
            except ImportError:
                raise Fault("absent", "neither ai-edge-litert nor tflite-runtime is installed") from None
        self.open, self.threads = Interpreter, order["threads"] or usable()

    def load(self, file):
        self.model = self.open(model_path=file, num_threads=self.threads)
        self.model.allocate_tensors()
        self.into, self.out = self.model.get_input_details()[0], self.model.get_output_details()[0]

    def prepared(self, pixels, mean, std):
        import numpy as np

        if self.into["dtype"] is np.uint8:
            return pixels[None]
        image = normalised(pixels, mean, std)[None]
        if self.into["shape"][-1] != 3:
            image = np.ascontiguousarray(image.transpose(0, 3, 1, 2))
        if self.into["dtype"] is np.int8:
            scale, zero = self.into["quantization"]
            image = (np.round(image / scale) + zero).clip(-128, 127).astype(np.int8)
        return image

    def __call__(self, image):
        self.model.set_tensor(self.into["index"], image)
        self.model.invoke()
        return self.model.get_tensor(self.out["index"])

    def floats(self, answer):
        import numpy as np

        if self.out["dtype"] is np.float32:
            return answer
        scale, zero = self.out["quantization"]
        return ((answer.astype(np.int32) - zero) * scale).astype(np.float32)


class Executorch:
    """A .pte file by ExecuTorch's Python runtime."""

    def __init__(self, order):
        try:
            import torch
            from executorch.extension.pybindings import _portable_lib as runtime
        except ImportError as error:
            raise Fault("absent", f"executorch is not installed: {error}") from None
        if order["threads"]:
            runtime._unsafe_reset_threadpool(order["threads"])
        self.torch, self.runtime, self.threads = torch, runtime, int(runtime._threadpool_get_thread_count())

    def load(self, file):
        with open(file, "rb") as opened:
            self.data = opened.read()  # it must outlive the program
        whole = self.runtime.Verification.InternalConsistency
        self.program = self.runtime._load_program_from_buffer(self.data, program_verification=whole)
        self.method = self.program.load_method("forward")
        self.shape = tuple(self.method.method_meta().input_tensor_meta(0).sizes())

    def prepared(self, pixels, mean, std):
        import numpy as np

        if self.shape[-1] == 3:
            return self.torch.from_numpy(np.ascontiguousarray(pixels[None]))
        image = normalised(pixels, mean, std).transpose(2, 0, 1)
        return self.torch.from_numpy(np.ascontiguousarray(image[None]))

    def __call__(self, image):
        return self.method([image])[0]

    def floats(self, answer):
        return answer.numpy().copy()


COMPUTE_UNITS = {"cpu": "CPU_ONLY", "gpu": "CPU_AND_GPU", "npu": "CPU_AND_NE", "all": "ALL"}


class Coreml:
    """A .mlpackage by Core ML, on a Mac."""

    def __init__(self, order):
        if sys.platform != "darwin":
            raise Fault("absent", "Core ML is on a Mac alone")
        try:
            import coremltools
        except ImportError as error:
            raise Fault("absent", f"coremltools is not installed: {error}") from None
        self.coremltools, self.unit, self.threads = coremltools, COMPUTE_UNITS[order["unit"]], None

    def load(self, file):
        unit = getattr(self.coremltools.ComputeUnit, self.unit)
        self.model = self.coremltools.models.MLModel(file, compute_units=unit)
        self.name = self.model.get_spec().description.input[0].name

    def prepared(self, pixels, mean, std):
        import numpy as np

        if self.name == "image":
            from PIL import Image

            return {self.name: Image.fromarray(pixels)}
        return {self.name: np.ascontiguousarray(normalised(pixels, mean, std).transpose(2, 0, 1)[None])}

    def __call__(self, image):
        return self.model.predict(image)

    def floats(self, answer):
        import numpy as np

        if "logits" in answer:
            return np.asarray(answer["logits"], np.float32)
        raise Fault("run", "a classifier of images gives probabilities by name: edgevit's own runner reads those")


RUNTIMES = {"litert": Litert, "executorch": Executorch, "coreml": Coreml}


def usable():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def normalised(pixels, mean, std):
    """uint8 (H, W, 3) to float32: by the very steps of training, whose floats these equal bit for bit."""
    import numpy as np

    return (pixels.astype(np.float32) / np.float32(255) - np.float32(mean)) / np.float32(std)


def milliseconds(call, *arguments):
    started = time.perf_counter_ns()
    call(*arguments)
    return (time.perf_counter_ns() - started) / 1e6


def timed(call, image, runs):
    """Milliseconds of each of `runs` calls: a bare loop, and nothing else in it."""
    times = [0] * runs
    clock_ns = time.perf_counter_ns
    for turn in range(runs):
        started = clock_ns()
        call(image)
        times[turn] = clock_ns() - started
    return [value / 1e6 for value in times]


def median(values):
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def opened(order):
    """The model, loaded cold and once more, and what that took."""
    if order["affinity"]:
        os.sched_setaffinity(0, order["affinity"])
    runtime = RUNTIMES[order["runtime"]](order)
    told = {"before_bytes": resident(False), "dropped": drop(order["file"])}
    told["cold_ms"] = milliseconds(runtime.load, order["file"])
    told["warm_ms"] = milliseconds(runtime.load, order["file"])
    return runtime, dict(told, threads=runtime.threads)


def some_image(runtime, order):
    """Grey noise, the same each time: how long a ViT takes does not depend on what it sees."""
    import numpy as np

    height, width = order["size"]
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return runtime.prepared(pixels, order["mean"], order["std"])


def launch(order, say):
    """One launch, as a record of what it took."""
    runtime, told = opened(order)
    image = some_image(runtime, order)
    told["first_ms"] = milliseconds(runtime, image)
    for _ in range(order["warmup"]):
        runtime(image)
    gc.disable()
    readings = Readings(order["since"])
    told["before"] = dict(readings.read(), busy=None)
    energy = joules()
    told["times_ms"] = timed(runtime, image, order["runs"])
    spent = joules()
    told["joules"] = spent - energy if energy is not None and spent is not None and spent >= energy else None
    told["after"] = readings.read()
    return dict(told, runs=order["runs"], warmup=order["warmup"], peak_bytes=resident(True))


def sustain(order, say):
    """Runs without a pause for so many seconds; every second one moment goes out."""
    runtime, _ = opened(order)
    image, readings = some_image(runtime, order), Readings(order["since"])
    ends = time.monotonic() + order["seconds"]
    while time.monotonic() < ends:
        times, until = [], min(ends, time.monotonic() + order["every"])
        while not times or time.monotonic() < until:
            times += timed(runtime, image, 1)
        say({"moment": {"runs": len(times), "p50_ms": median(times), "conditions": readings.read()}})
    return {}


def answers(order, say):
    """Of images (N, H, W, 3) uint8 in a file, what the model gives: (N, classes) float32 in another."""
    import numpy as np

    runtime, _ = opened(order)
    height, width = order["size"]
    images = np.fromfile(order["pixels"], np.uint8).reshape(-1, height, width, 3)
    found = []
    for at, pixels in enumerate(images):
        found.append(runtime.floats(runtime(runtime.prepared(pixels, order["mean"], order["std"])))[0])
        say({"progress": [at + 1, len(images)]})
    logits = np.stack(found).astype(np.float32)
    logits.tofile(order["into"])
    return {"shape": list(logits.shape)}


JOBS = {"launch": launch, "sustain": sustain, "answers": answers}


def work():
    order = json.loads(sys.stdin.readline())
    pipe = os.fdopen(order["pipe"], "w")
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it ends with the agent, however that ends

    def say(message):
        pipe.write(json.dumps(message) + "\n")
        pipe.flush()

    try:
        message = {"done": JOBS[order["job"]](order, say)}
    except Fault as error:
        message = {"error": {"kind": error.kind, "message": error.message}}
    except Exception as error:  # of a runtime, which may raise anything
        message = {"error": {"kind": "run", "message": f"{type(error).__name__}: {first_line(str(error))}"}}
    say(message)
    os._exit(0)  # some runtimes crash in their own exit handlers, when all is said


def first_line(text):
    return (text.strip().splitlines() or [""])[0][:300]


if __name__ == "__main__":
    work()
