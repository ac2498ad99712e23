"""Changes packed files at random: each is refused by one error, or gives exactly the weights that were packed.

Most mutations leave the checksum as it is, as accidents would. The others put it right, with the lengths, so that
zlib, JSON, Keras and the decoder of the weights meet the broken bytes themselves. A mutated file that takes longer than
a limit counts as a hang; a crash ends the script, which tells its seed and number before each that goes deep.

python -m benchmarks.robustness.fuzz_packed --mutations 100000 --seed 0
"""

import argparse
import collections
import pathlib
import signal
import struct
import time
import zlib

import keras
import numpy as np
from keras import layers

import cvhn_tf
from benchmarks.robustness.fuzz_report import finish
from cvhn_tf import export

HEADER = struct.Struct("<4sBIIII")
SECONDS = 20
KINDS = ("bits", "bytes", "lost", "inserted", "truncated", "swapped", "repeated", "lengths", "spliced")


class Hang(Exception):
    """A file took too long."""


def make_files(seed) -> list[bytes]:
    """Packed networks of a few kinds, small so that many mutations take little time."""
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    dense = keras.Sequential([keras.Input((6,)), layers.Dense(8, "relu"), layers.Dense(3, "softmax")])
    images = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            layers.Conv2D(3, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    files = []
    for target, sparsity in ((dense, 0.0), (dense, 0.9), (images, 0.5)):
        model = cvhn_tf.VariationalHypernetwork(target, seed=seed)
        for variable in model.trainable_variables:
            variable.assign_add(rng.normal(size=variable.shape) * 0.3)
        files.append(export.pack(model, 1.0, sparsity).content)
    return files


def mutate(content, others, kind, rng) -> bytes:
    """A file like `content`, changed in one way, half of the time where its header is."""
    changed = bytearray(content)
    start = int(rng.integers(HEADER.size if rng.random() < 0.5 else len(content)))
    length = int(rng.integers(1, 17))
    if kind == "bits":
        for _ in range(int(rng.integers(1, 9))):
            changed[int(rng.integers(start, len(changed)))] ^= 1 << int(rng.integers(8))
    elif kind == "bytes":
        changed[start : start + length] = rng.bytes(length)
    elif kind == "lost":
        del changed[start : start + length]
    elif kind == "inserted":
        changed[start:start] = rng.bytes(length)
    elif kind == "truncated":
        del changed[int(rng.integers(len(changed))) :]
    elif kind == "swapped":
        other = int(rng.integers(len(changed)))
        changed[start], changed[other] = changed[other], changed[start]
    elif kind == "repeated":
        changed[start:start] = changed[start : start + length]
    elif kind == "lengths":
        field = int(rng.integers(5, HEADER.size - 3))
        changed[field : field + 4] = rng.choice([b"\xff" * 4, bytes(4), b"\x00\x00\x00\x80", rng.bytes(4)])
    else:
        other = others[int(rng.integers(len(others)))]
        changed[start:] = other[start:]
    return bytes(changed)


def mutate_inside(content, others, kind, rng) -> bytes:
    """A file whose architecture, the JSON of it or its weights are changed, with lengths and checksum put right."""
    *_, architecture_bytes, _, _, weights_checksum = HEADER.unpack_from(content)
    end = HEADER.size + architecture_bytes
    architecture, weights = content[HEADER.size : end], content[end:]
    part = rng.choice(["architecture", "json", "weights", "weights", "checksum"])
    if part == "architecture":
        architecture = mutate(architecture, [architecture], kind, rng)
    elif part == "json":
        text = zlib.decompress(architecture)
        changed = mutate(text, [text], kind if kind != "lengths" else "bits", rng)
        # New digits may make a layer of any size, for which its author must be trusted.
        architecture = zlib.compress(bytes(old for old in changed if not 48 <= old <= 57), 9)
    elif part == "weights":
        weights = mutate(weights, [weights], kind, rng)
    else:
        weights_checksum = int(rng.integers(2**32))
    prefix = struct.pack("<4sBII", b"CVHN", 1, len(architecture), len(weights))
    tail = struct.pack("<I", weights_checksum) + architecture + weights
    return prefix + struct.pack("<I", zlib.crc32(tail, zlib.crc32(prefix))) + tail


def try_file(content, expected) -> str:
    """What comes of a file: `refused`, `exact`, or what is wrong."""
    signal.alarm(SECONDS)
    try:
        network = export.unpack(content)
    except Hang:
        return "hang"
    except ValueError as error:
        known = str(error).startswith("Expected a whole file that `pack` wrote. Received: ")
        return "refused" if known else f"other words: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
    got = network.get_weights()
    same = len(got) == len(expected) and all(map(np.array_equal, got, expected))
    return "exact" if same else "other weights"


def fuzz(mutations, seed, inside=0.05, progress=print) -> dict:
    """Tries so many mutated files, of which a share is changed behind the checksum.

    Returns:
        Dict with counts of outcomes for both, by kind, and the first files that gave anything else.
    """
    signal.signal(signal.SIGALRM, _stop)
    files = make_files(seed)
    weights = [export.unpack(content).get_weights() for content in files]
    rng = np.random.default_rng(seed)
    counts = {"outside": collections.Counter(), "inside": collections.Counter()}
    kinds, wrong = collections.Counter(), []
    start = time.monotonic()
    slowest = 0.0
    for i in range(mutations):
        number, kind = i % len(files), KINDS[int(rng.integers(len(KINDS)))]
        where = "inside" if rng.random() < inside else "outside"
        change = mutate_inside if where == "inside" else mutate
        content = files[number]
        while content in files:  # not every change changes something
            content = change(files[number], files, kind, rng)
        before = time.monotonic()
        outcome = try_file(content, weights[number])
        slowest = max(slowest, time.monotonic() - before)
        if outcome == "exact" and where == "outside":
            outcome = "other bytes, taken for whole"
        counts[where][outcome if outcome in ("refused", "exact") else "wrong"] += 1
        kinds[kind] += 1
        if outcome not in ("refused", "exact"):
            wrong.append({"mutation": i, "kind": kind, "where": where, "outcome": outcome[:300]})
        if where == "inside" and counts["inside"].total() % 500 == 0:
            keras.utils.clear_session()
        if (i + 1) % max(mutations // 10, 1) == 0:
            progress(f"{i + 1:,} mutations, {len(wrong)} wrong, {time.monotonic() - start:.0f} s")
    return {
        "mutations": mutations,
        "seed": seed,
        "files": [len(content) for content in files],
        "outcomes": {where: dict(counter) for where, counter in counts.items()},
        "kinds": dict(kinds),
        "wrong": wrong[:20],
        "seconds": round(time.monotonic() - start, 1),
        "slowest_seconds": round(slowest, 3),
    }


def _stop(number, frame):
    raise Hang


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--inside", type=float, default=0.05, help="share of mutations behind the checksum")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("fuzz-packed.json"))
    options = parser.parse_args(arguments)
    return finish(fuzz(options.mutations, options.seed, options.inside), options.output)


if __name__ == "__main__":
    raise SystemExit(main())
