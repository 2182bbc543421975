"""What MISO makes of every folder and file of real data at hand: processed, or refused with which sentence.

Each row is one command in a process of its own, how it ended, and the sentence; WRONG is what should not be.
A file that no row reads is named at the end. The data is never changed: a folder that is processed in place
is copied first.

    .venv/bin/python benchmarks/real_inputs.py --data real-data --work work
"""

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from miso.verbs.console import out

RESULTS = Path(__file__).parent / "results" / "real_inputs.json"
STAIN = "--encoder stain --device cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A command, what is read by it, and how it has to end.

    `D` in the command is the data, `W` the work folder; `said` is in what is printed. `reads` are the files
    and folders, below the data, that the row answers for.
    """

    reads: tuple[str, ...]
    command: str
    ends: str
    said: str


MUSCLE, BRAIN = "visium/mouse_muscle_spaceranger_1_0", "visium/mouse_brain_crop"
SCANPY, SEURAT = "visium/layout_scanpy", "visium/layout_seurat"
HD = "visium/layout_hd/binned_outputs"
ROWS = (
    Row(
        reads=("her2st",),
        command=f"process-her2st --path-dataset W/her2st {STAIN}",
        ends="processed",
        said="187 spots",
    ),
    Row(
        reads=("st_toy",),
        command=f"process-data --path-visium D/st_toy --path-output-folder W/toy {STAIN}",
        ends="refused",
        said="would magnify it 13.8 times",
    ),
    Row(
        reads=("st_toy/counts.tsv", "st_toy/spots.tsv", "st_toy/image.jpg"),
        command="process-data --path-visium D/st_toy --path-output-folder W/toy --level 0 --tile-size 32 "
        + STAIN,
        ends="processed",
        said="282 spots, 10 genes, 6.879 µm/px",
    ),
    Row(
        reads=("st_toy/mask.png",),
        command=f"process-data --path-visium D/st_toy --path-slide D/st_toy/mask.png "
        f"--path-output-folder W/mask --level 0 --tile-size 32 {STAIN}",
        ends="refused",
        said="of the area under the 282 spots",
    ),
    Row(
        reads=(MUSCLE,),
        command=f"process-data --path-visium D/{MUSCLE} --path-output-folder W/muscle {STAIN}",
        ends="refused",
        said="the image of 22208 × 21801 px",
    ),
    *(
        Row(
            reads=(f"{MUSCLE}/spatial/{picture}",),
            command=f"process-data --path-visium D/{MUSCLE} --path-slide D/{MUSCLE}/spatial/{picture} "
            f"--path-output-folder W/muscle {STAIN}",
            ends="refused",
            said=f"is the {name} picture, not the full-resolution image of 22208 × 21801 px",
        )
        for picture, name in (
            ("detected_tissue_image.jpg", "detected tissue"),
            ("aligned_fiducials.jpg", "aligned fiducials"),
            ("tissue_lowres_image.png", "lowres"),
        )
    ),
    Row(
        reads=(MUSCLE,),
        command=f"inspect D/{MUSCLE}",
        ends="read",
        said="0.3597 µm/px (lattice pitch of 100 µm)",
    ),
    Row(
        reads=(f"{SCANPY}/1.0.0",),
        command=f"process-data --path-visium D/{SCANPY}/1.0.0 --path-slide "
        f"D/{SCANPY}/1.0.0/spatial/tissue_hires_image.png --path-output-folder W/scanpy {STAIN}",
        ends="refused",
        said="is the hires picture, not the full-resolution image of 13332 × 13332 px",
    ),
    Row(reads=(f"{SCANPY}/1.0.0",), command=f"inspect D/{SCANPY}/1.0.0", ends="read", said="0.7252 µm/px"),
    Row(
        reads=(f"{SCANPY}/2.1.0",),
        command=f"process-data --path-visium D/{SCANPY}/2.1.0 --path-output-folder W/probes {STAIN}",
        ends="refused",
        said="has counts (raw_probe_bc_matrix.h5) but no spot positions",
    ),
    Row(
        reads=(SEURAT,),
        command=f"process-data --path-visium D/{SEURAT} --path-slide "
        f"D/{SEURAT}/spatial/tissue_hires_image.png --path-output-folder W/seurat {STAIN}",
        ends="refused",
        said="is the hires picture, not the full-resolution image of 11620 × 11608 px",
    ),
    Row(reads=(SEURAT,), command=f"inspect D/{SEURAT}", ends="read", said="2695, 55 µm wide"),
    Row(
        reads=(HD,),
        command=f"process-data --path-visium D/visium/layout_hd --path-output-folder W/hd {STAIN}",
        ends="refused",
        said="holds bins of 8, 16 µm; choose one with --bin-um",
    ),
    *(
        Row(
            reads=(f"{HD}/square_{um:03d}um",),
            command=f"process-data --path-visium D/{HD}/square_{um:03d}um --path-slide "
            f"D/{HD}/square_{um:03d}um/spatial/tissue_hires_image.png --path-output-folder W/hd{um} {STAIN}",
            ends="refused",
            said="is the hires picture, not the full-resolution image of 23618 × 21945 px",
        )
        for um in (8, 16)
    ),
    Row(
        reads=(f"{HD}/square_008um",),
        command=f"inspect D/{HD}/square_008um",
        ends="read",
        said="resolutions disagree by a factor 2",
    ),
    Row(
        reads=(f"{HD}/square_016um",),
        command=f"inspect D/{HD}/square_016um",
        ends="read",
        said="0.2738 µm/px (microns_per_pixel",
    ),
    Row(
        reads=(BRAIN,),
        command=f"process-data --path-visium D/{BRAIN}/test_data.h5ad --path-slide D/{BRAIN}/test_img.jpg "
        f"--path-output-folder W/brain {STAIN}",
        ends="processed",
        said="49 spots, 1999 genes, 0.7252 µm/px",
    ),
    *(
        Row(
            reads=(f"wsi/{name}",),
            command=f"rewrite-slide --path-slide D/wsi/{name}{said_mpp} --path-output-folder W/slides",
            ends="processed",
            said=said,
        )
        for name, said_mpp, said in (
            ("CMU-1-Small-Region.svs", "", "0.499 µm/px"),
            ("kidney-48-5.tif", " --mpp 0.5", "0.5 µm/px"),
            ("openslidepy_small.svs", "", "0.499 µm/px"),
            ("openslidepy_boxes_0.dcm", "", "0.499 µm/px"),
            ("openslidepy_boxes_1.dcm", "", "0.499 µm/px"),
        )
    ),
    Row(
        reads=("wsi/kidney-48-5.tif",),
        command="rewrite-slide --path-slide D/wsi/kidney-48-5.tif --path-output-folder W/slides2",
        ends="refused",
        said="--mpp",
    ),
)
CODES = {"processed": 0, "read": 0, "refused": 2}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the folder of real data")
    parser.add_argument("--work", type=Path, required=True, help="an empty folder for copies and results")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the figures are kept")
    args = parser.parse_args()
    if args.work.exists() and any(args.work.iterdir()):
        parser.error(f"{args.work} is not empty")
    args.work.mkdir(parents=True, exist_ok=True)
    shutil.copytree(args.data / "her2st", args.work / "her2st")
    found = [{**asdict(row), **run(row, args.data, args.work)} for row in ROWS]
    wrong = [one for one in found if not one["as_it_has_to"]]
    for one in found:
        ends = one["ends"] if one["as_it_has_to"] else "WRONG"
        out.print(f"{ends:<9}  {one['command']}\n{'':<9}  {one['told']}", markup=False)
    unread = unanswered(args.data)
    for path in unread:
        out.print(f"no row answers for {path}", markup=False)
    out.print(f"{len(found)} rows, {len(wrong)} wrong, {len(unread)} files without a row")
    args.out.parent.mkdir(exist_ok=True)
    kept = [{key: one[key] for key in ("command", "ends", "as_it_has_to", "told")} for one in found]
    args.out.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return int(bool(wrong or unread))


def run(row: Row, data: Path, work: Path) -> dict[str, object]:
    """Run a row's command; paths are put back to D and W in what it told."""
    command = [word.replace("D/", f"{data}/").replace("W/", f"{work}/") for word in shlex.split(row.command)]
    start = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", "from miso.cli import main; main()", *command],
        capture_output=True,
        text=True,
        check=False,
    )
    told = (ended.stdout + ended.stderr).replace(f"{data}/", "D/").replace(f"{work}/", "W/")
    line = next((line for line in told.splitlines() if row.said in line), told.strip()[-200:])
    right = ended.returncode == CODES[row.ends] and row.said in told and "Traceback" not in told
    return {"as_it_has_to": right, "told": " ".join(line.split()), "s": time.monotonic() - start}


def unanswered(data: Path) -> list[str]:
    """Files of the data that lie below none of the rows' folders."""
    read = [data / path for row in ROWS for path in row.reads]
    files = sorted(path for path in data.rglob("*") if path.is_file())
    return [
        str(file.relative_to(data)) for file in files if not any(p == file or p in file.parents for p in read)
    ]


if __name__ == "__main__":
    raise SystemExit(main())
