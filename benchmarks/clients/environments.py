"""Where a client is installed: an environment of its own, made once."""

import json
import os
import pathlib
import shutil
import subprocess
import sys


class UnavailableError(Exception):
    """A client cannot be had here; the message is a sentence that says why."""


def own(folder):
    """The Python that runs this, with the versions that the project is pinned to."""
    return sys.executable


def python(folder: pathlib.Path, *packages: str, system_packages: bool = False) -> str:
    """The Python of a virtual environment with some packages; it sees those of this one too if told so."""
    executable = folder / "bin" / "python"

    def install():
        _run("it could not be installed", sys.executable, "-m", "venv", folder)
        if system_packages:  # those of the environment that runs this, which may be a virtual one itself
            (site,) = folder.glob("lib/python*/site-packages")
            (site / "project.pth").write_text("\n".join(path for path in sys.path if "site-packages" in path) + "\n")
        _run("it could not be installed", executable, "-m", "pip", "install", "--quiet", *packages)

    _once(folder, packages, install)
    return str(executable)


def node(folder: pathlib.Path, *packages: str) -> str:
    """Node.js, beside packages of npm."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        raise UnavailableError("Node.js and npm are not installed.")

    def install():
        folder.mkdir()
        _run("npm could not install it", "npm", "install", "--silent", "--no-fund", "--prefix", folder, *packages)

    _once(folder, packages, install)
    return "node"


def _once(folder, packages, install):
    """Installs into a folder, unless just these packages are there. A folder that was left half done is made anew."""
    note = folder / "installed.json"
    if note.is_file() and json.loads(note.read_text()) == list(packages):
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    install()
    note.write_text(json.dumps(packages))


def _run(problem, *command, **options):
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    if result.returncode != 0:
        lines = [line for line in (result.stderr or result.stdout).splitlines() if line.strip()]
        raise UnavailableError(f"{problem}: {lines[-1] if lines else result.returncode}")
    return result.stdout


def arm64(folder: pathlib.Path, *packages: str) -> list[str]:
    """The command of a Python for ARM64: Debian's, run by QEMU, with packages of pip."""
    for program in ("qemu-aarch64-static", "apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise UnavailableError(f"{program} is not installed.")
    root = folder / "root"

    def install():
        state = folder / "apt"
        for part in ("lists/partial", "cache/archives/partial"):
            (state / part).mkdir(parents=True)
        (state / "status").touch()
        apt = ["apt-get", "--quiet"]
        for option in (  # lists and downloads of its own, so that nothing changes on the system
            "APT::Architecture=arm64",
            "APT::Architectures::=arm64",
            "APT::Sandbox::User=root",
            f"Dir::State={state.resolve()}",
            f"Dir::State::status={state.resolve()}/status",
            f"Dir::Cache={state.resolve()}/cache",
        ):
            apt += ["-o", option]
        _run("Debian's lists for arm64 could not be had", *apt, "update")
        _run("Debian's Python for arm64 could not be had", *apt, "download", *_DEBIAN, cwd=state)
        for package in state.glob("*.deb"):
            _run("Debian's Python for arm64 could not be unpacked", "dpkg-deb", "--extract", package, root)
        wheels = [f"--platform={name}_aarch64" for name in ("manylinux_2_28", "manylinux_2_27", "manylinux2014")]
        target = ["--only-binary=:all:", "--python-version=3.11", "--target", root / "packages"]
        _run(
            "it could not be installed", sys.executable, "-m", "pip", "install", "--quiet", *wheels, *target, *packages
        )
        # QEMU opens this in the place of the system's own, of another processor, in which LiteRT finds none.
        (root / "proc").mkdir()
        (root / "proc" / "cpuinfo").write_text("".join(_NEOVERSE_N1.format(core) for core in range(os.cpu_count())))

    _once(folder, packages, install)
    variables = ["-E", f"PYTHONPATH={(root / 'packages').resolve()}", "-E", f"PYTHONHOME={(root / 'usr').resolve()}"]
    return ["qemu-aarch64-static", "-cpu", "neoverse-n1", "-L", str(root), *variables, str(root / "usr/bin/python3.11")]


# Debian's Python 3.11 and the libraries that it and NumPy load.
_DEBIAN = [
    "python3.11-minimal",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libc6",
    "libgcc-s1",
    "libstdc++6",
    "zlib1g",
    "libexpat1",
    "libffi8",
    "libssl3",
    "libbz2-1.0",
    "liblzma5",
    "libsqlite3-0",
    "libuuid1",
]
_NEOVERSE_N1 = """processor\t: {}
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x3
CPU part\t: 0xd0c
CPU revision\t: 1

"""
