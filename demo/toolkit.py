# SPDX-License-Identifier: Apache-2.0
"""The smallest part of the CUDA toolkit, from PyPI, and how programs are built with it.

PyPI has nvcc for CUDA 13 only; of CUDA 12 and 11 it has the runtime libraries. So one compiler
builds all programs, and `cuda` chooses the libcudart (its headers and its library) that a program
runs on: what talks to the driver is that library, unmodified.

    python -m demo.toolkit install    # compiler and CUDA 13: 101 MB to download, 253 MB installed
    python -m demo.toolkit install 12 11 nvrtc
    python -m demo.toolkit build demo/programs/vadd.cu build/demo/vadd --cuda 12 --cudart shared
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDER = Path(os.environ.get("VGPU_TOOLKIT", HERE.parent / "build" / "toolkit"))

# PTX only: the device's driver compiles it, and a software GPU can.
GENERATE_PTX = ("-gencode", "arch=compute_75,code=compute_75")


class ToolkitError(RuntimeError):
    """A part is missing, or a program does not build."""


@dataclass(frozen=True)
class Part:
    """Something to install: its wheels, and the folder in them that has `include` and `lib`."""

    wheels: tuple[str, ...]
    folder: str


PARTS = {
    "compiler": Part(
        ("nvidia-cuda-nvcc==13.0.88", "nvidia-nvvm==13.0.88", "nvidia-cuda-crt==13.0.88"),
        "nvidia/cu13",
    ),
    "13": Part(("nvidia-cuda-runtime==13.0.96",), "nvidia/cu13"),
    "12": Part(("nvidia-cuda-runtime-cu12==12.9.79",), "nvidia/cuda_runtime"),
    "11": Part(("nvidia-cuda-runtime-cu11==11.8.89",), "nvidia/cuda_runtime"),
    "cccl": Part(("nvidia-cuda-cccl==13.0.85",), "nvidia/cu13"),
    "headers": Part(("nvidia-cuda-runtime==13.5.37",), "nvidia/cu13"),
    "nvrtc": Part(("nvidia-cuda-nvrtc==13.0.88",), "nvidia/cu13"),
}


def is_installed(*parts: str) -> bool:
    """Whether all these parts are there."""
    return all((FOLDER / part).is_dir() for part in parts)


def path(part: str) -> Path:
    """The folder of a part."""
    if not is_installed(part):
        raise ToolkitError(f"{part} is not installed: python -m demo.toolkit install {part}")
    return FOLDER / part / PARTS[part].folder


def install(part: str) -> None:
    """Install one part, unless it is there. Another process may do the same at the same time."""
    if part not in PARTS:
        raise ToolkitError(f"{part}: no such part; there are {', '.join(PARTS)}")
    if is_installed(part):
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix=".installing-") as name:
        target = Path(name) / part
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*command, "--target", str(target), *PARTS[part].wheels], check=True)
        _link_shared(target / PARTS[part].folder / "lib")
        try:
            target.rename(FOLDER / part)
        except OSError:
            if not is_installed(part):
                raise


def _link_shared(folder: Path) -> None:
    """`-lcudart` looks for a name without a version, which the wheels leave out."""
    for library in folder.glob("libcudart.so.*"):
        (folder / "libcudart.so").symlink_to(library.name)


def nvcc() -> Path:
    """The compiler."""
    return path("compiler") / "bin" / "nvcc"


def environment(cuda: int = 13) -> dict[str, str]:
    """Variables that a program needs to find what is installed of this version, and NVRTC."""
    folders = [FOLDER / part / PARTS[part].folder / "lib" for part in (str(cuda), "nvrtc")]
    result = {"LD_LIBRARY_PATH": ":".join(str(folder) for folder in folders if folder.is_dir())}
    if is_installed("nvrtc"):
        result["NVRTC_PATH"] = str(path("nvrtc") / "lib" / "libnvrtc.so.13")
    return result


def build_program(
    source: Path,
    out: Path,
    *,
    cuda: int = 13,
    cudart: str = "static",
    flags: tuple[str, ...] = GENERATE_PTX,
) -> Path:
    """Build one program: a .cu file with nvcc, a .c file with the C compiler alone."""
    out.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix == ".c":
        _run(["gcc", "-std=gnu11", "-O2", "-o", str(out), str(source), "-ldl", "-lpthread"])
        return out
    command = [str(nvcc()), "-O2", "-std=c++17", "-cudadevrt", "none", "-cudart", cudart, *flags]
    runtime = path(str(cuda))
    command += [f"-I{HERE / 'programs'}", f"-I{runtime / 'include'}", f"-L{runtime / 'lib'}"]
    command += [str(source), "-o", str(out)]
    _run(command + (_for_cuda_11(cudart) if cuda == 11 else []))
    return out


def _for_cuda_11(cudart: str) -> list[str]:
    """What makes nvcc 13's output run on libcudart 11; see cudart11/cudart11.c."""
    if cudart != "shared":
        raise ToolkitError("PyPI has no static libcudart of CUDA 11: cudart must be 'shared'")
    define = "-DcudaKernel_t=cudaFunction_t"
    return [define, "-Xcompiler", define, str(HERE / "cudart11" / "cudart11.c")]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    if done.returncode:
        raise ToolkitError(f"{shutil.which(command[0])} failed:\n{done.stderr or done.stdout}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m demo.toolkit", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    installing = commands.add_parser("install", help="install parts")
    installing.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}")
    building = commands.add_parser("build", help="build one program")
    building.add_argument("source", type=Path)
    building.add_argument("out", type=Path)
    building.add_argument("--cuda", type=int, default=13, choices=(13, 12, 11))
    building.add_argument("--cudart", default="static", choices=("static", "shared"))
    args = parser.parse_args()
    try:
        if args.command == "build":
            build_program(args.source, args.out, cuda=args.cuda, cudart=args.cudart)
        else:
            for part in args.parts or ("compiler", "13"):
                install(part)
    except (ToolkitError, subprocess.CalledProcessError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
