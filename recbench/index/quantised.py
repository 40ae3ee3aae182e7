"""Embeddings in a few bytes each, searched roughly: what faiss is used for.

Dimensions are filled up with zeros to a number that its vectorised loops take whole: 66 float16
dimensions took ten times as long as 72.

A two-tower's embeddings are no unit vectors: popularity has a heavy tail. Cells by angle, which are
faiss's own for inner products, then gather whatever is popular (recall .03 on a session log).
Cells by distance, each dimension of unit spread, keep like with like; they are still visited by
inner product (recall .98 and more from one visited cell in fifty).
"""

from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from recbench.errors import InputError
from recbench.index.protocol import Bools, Floats, Ints
from recbench.index.trained import Trained

__all__ = ["Codes", "Quantised", "quantised", "saved", "written"]

Codes = Literal["pq4", "fp16"]
TRAINED_ON = 50_000  # rows that codebooks are learned from
A_LIST = 40  # and rows of each cell
ROUNDS = 10  # of k-means
METRIC = 0  # faiss.METRIC_INNER_PRODUCT
ROW_NUMBER = 8  # bytes, beside each code of a cell
CODED = {"pq4": "PQ{}x4fs", "fp16": "SQfp16"}
SEED = 0
ENTRIES = 16  # of a codebook, for half a byte
BLOCK = 65_536  # rows that are filled up at once


@dataclass(frozen=True, slots=True, eq=False)
class Quantised:
    """A faiss index of C rows, which is never changed."""

    faiss_index: Any
    n_lists: int
    n_bytes: int
    parts: tuple[Any, ...] = ()  # what the index only points at
    trained: Trained = field(default_factory=Trained)

    def __len__(self) -> int:
        """The number of rows."""
        return int(self.faiss_index.ntotal)

    @property
    def filters(self) -> bool:
        """Whether a search leaves out rows by itself; a scan of packed codes does not."""
        return self.n_lists > 0

    def search(
        self, queries: Floats, n_wanted: int, *, open_rows: Bools | None, n_probes: int
    ) -> Ints:
        """(Q, n_wanted) rows of about the largest products, -1 where there are no more.

        Args:
            queries: (Q, D).
            n_wanted: how many.
            open_rows: (C,) what may be returned, where ``filters``; default: all.
            n_probes: cells visited, where there are any.
        """
        faiss = _faiss()
        options = {}
        if self.n_lists:
            options["params"] = _probing(n_probes)
        if self.n_lists and open_rows is not None:
            chosen = faiss.IDSelectorBitmap(np.packbits(open_rows, bitorder="little"))
            options["params"] = faiss.SearchParametersIVF(nprobe=n_probes, sel=chosen)
        filled = _filled(queries, self.faiss_index.d)
        found: Ints = self.faiss_index.search(filled, n_wanted, **options)[1]
        return found

    def release(self) -> None:
        """Free it now; see ``ApproximateIndex.release``."""
        if self.n_lists:
            faiss = _faiss()
            empty = faiss.ArrayInvertedLists(self.n_lists, self.faiss_index.code_size)
            self.faiss_index.replace_invlists(empty, True)
            empty.this.disown()
        else:
            self.faiss_index.reset()


def quantised(
    embeddings: Floats, codes: Codes, *, n_lists: int, trained: Trained | None = None
) -> Quantised:
    """(C, D) embeddings as codes, in ``n_lists`` cells; the same ones each time.

    Args:
        embeddings: by row.
        codes: what each becomes.
        n_lists: cells; 0 for none.
        trained: learned before, of these rows or of others; default: learned now.

    Raises:
        InputError: fewer embeddings than cells, or than a codebook has entries; or ``trained`` is
            of another kind of index.
    """
    fewest = max(n_lists, ENTRIES if codes == "pq4" else 1)
    if len(embeddings) < fewest:
        raise InputError(
            f"{len(embeddings)} candidates are too few for {fewest} cells or codes: search them "
            "with an ExactIndex"
        )
    dim = _dimensions(embeddings.shape[1])
    n_sample = min(len(embeddings), max(TRAINED_ON, A_LIST * n_lists))
    rows = np.linspace(0, len(embeddings) - 1, n_sample).astype(np.int64)
    sample = _filled(embeddings[rows], dim)
    if trained is None:
        trained = _cells(sample, n_lists)
    else:
        n_codebook = dim // 2 * ENTRIES if codes == "pq4" else 0
        trained.check(dim=dim, n_lists=n_lists, n_codebook=n_codebook, n_rows=len(embeddings))
    nearest, largest = _searchers(trained) if n_lists else (None, None)
    built = _empty(dim, codes, nearest, n_lists)
    codebooks = _codebooks(built, codes, trained.codebooks, sample)
    cells = _fill(built, embeddings, nearest if codes == "fp16" else None, trained.cells)
    if n_lists:
        built.quantizer = largest
    parts = (nearest, largest) if n_lists else ()
    trained = replace(trained, codebooks=codebooks, cells=cells)
    return Quantised(built, n_lists, _n_bytes(built), parts, trained)


def _cells(sample: Floats, n_lists: int) -> Trained:
    """What brings each dimension to unit spread, and centroids so; nothing without cells."""
    if not n_lists:
        return Trained()
    faiss = _faiss()
    dim = sample.shape[1]
    spread = sample.std(axis=0, keepdims=True)
    scale = np.where(spread > 0, 1 / np.maximum(spread, 1e-30), 1).astype(np.float32)
    clustered = faiss.Kmeans(
        dim,
        n_lists,
        niter=ROUNDS,
        seed=SEED,
        min_points_per_centroid=1,
        max_points_per_centroid=A_LIST,
    )
    clustered.train(sample * scale)
    return Trained(scale=scale, centroids=clustered.centroids)


def _searchers(learned: Trained) -> tuple[Any, Any]:
    """Which cell a row is put into, and which cells a query visits: two searches of centroids."""
    faiss = _faiss()
    dim = learned.centroids.shape[1]
    scaled = faiss.LinearTransform(dim, dim, False)
    faiss.copy_array_to_vector(np.diag(learned.scale[0]).ravel(), scaled.A)
    scaled.is_trained = True
    by_distance = faiss.IndexFlatL2(dim)
    by_distance.add(learned.centroids)
    largest = faiss.IndexFlatIP(dim)
    largest.add(learned.centroids / learned.scale)
    return faiss.IndexPreTransform(scaled, by_distance), largest


def _empty(dim: int, codes: Codes, nearest: Any, n_lists: int) -> Any:
    faiss = _faiss()
    if not n_lists:
        return faiss.index_factory(dim, CODED[codes].format(dim // 2), METRIC)
    if codes == "pq4":
        built = faiss.IndexIVFPQFastScan(nearest, dim, n_lists, dim // 2, 4, METRIC)
    else:
        half = faiss.ScalarQuantizer.QT_fp16
        built = faiss.IndexIVFScalarQuantizer(nearest, dim, n_lists, half, METRIC)
    built.by_residual = False  # a row's centroid by distance is none of the query's
    return built


def _codebooks(built: Any, codes: Codes, known: Floats, sample: Floats) -> Floats:
    """Those of packed codes, known or learned now; the index may be filled afterwards."""
    if codes != "pq4" or not len(known):
        built.train(sample)
    if codes != "pq4":  # halves have none
        return known
    faiss = _faiss()
    if len(known):
        faiss.copy_array_to_vector(known.ravel(), built.pq.centroids)
        built.is_trained = True
    learned: Floats = faiss.vector_to_array(built.pq.centroids).reshape(-1, 2)
    return learned


def _fill(built: Any, embeddings: Floats, nearest: Any, known: Ints) -> Ints:
    """(C,) the cell that each row was put into; empty where faiss does not tell."""
    faiss = _faiss()
    cells = np.empty(len(embeddings) if nearest is not None else 0, dtype=np.int64)
    for start in range(0, len(embeddings), BLOCK):
        rows = _filled(embeddings[start : start + BLOCK], built.d)
        if nearest is None:
            built.add(rows)
            continue
        stop = start + len(rows)
        cells[start:stop] = known[start:stop] if len(known) else nearest.search(rows, 1)[1][:, 0]
        part = cells[start:stop]
        built.add_core(len(rows), faiss.swig_ptr(rows), None, faiss.swig_ptr(part))
    return cells


def written(proposals: Quantised, path: Path) -> None:
    """Into a file that ``saved`` reads."""
    _faiss().write_index(proposals.faiss_index, str(path))


def saved(path: Path, *, n_rows: int, dim: int) -> Quantised:
    """What ``written`` wrote of ``n_rows`` embeddings of ``dim`` dimensions.

    The file is mapped: nothing is copied, and all who read it share its pages.

    Raises:
        InputError: no such file, no index, or one of other embeddings.
    """
    faiss = _faiss()
    try:
        read = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as error:  # faiss has no other
        raise InputError(f"{path} is no index: {error}") from error
    if (read.ntotal, read.d) != (n_rows, _dimensions(dim)):
        raise InputError(
            f"{path} is of {read.ntotal} candidates in {read.d} dimensions, not of "
            f"{n_rows} in {_dimensions(dim)}"
        )
    return Quantised(read, getattr(read, "nlist", 0), _n_bytes(read))


def _n_bytes(built: Any) -> int:
    n_lists = getattr(built, "nlist", 0)
    row = built.code_size + (ROW_NUMBER if n_lists else 0)
    return int(built.ntotal * row + n_lists * built.d * 4)


def _dimensions(dim: int) -> int:
    return -(-dim // 8) * 8


def _filled(embeddings: Floats, dim: int) -> Floats:
    """(N, D) -> (N, dim) float32 in C order."""
    filled = np.zeros((len(embeddings), dim), dtype=np.float32)
    filled[:, : embeddings.shape[1]] = embeddings
    return filled


@lru_cache
def _probing(n_probes: int) -> Any:
    """What a search is told, which only reads it; to make it takes a tenth of a search's time."""
    return _faiss().SearchParametersIVF(nprobe=n_probes)


def _faiss() -> Any:
    """The package, on one thread: what is fastest for one query."""
    try:
        import faiss
    except ModuleNotFoundError as error:
        raise InputError(
            "An approximate index needs faiss, which is not installed here: pip install "
            "'recbench[serve]'"
        ) from error
    faiss.omp_set_num_threads(1)
    return faiss
