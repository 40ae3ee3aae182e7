"""Two real processes with gloo beside one process with both batches.

Run as a script this file is one of the ranks: ``python test_gathered.py RANK FOLDER``.
"""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from torch import distributed, nn

from recbench.errors import InputError
from recbench.training.candidates import Candidates, accidental_hits
from recbench.training.gathered import gathered_candidates, mean_over_ranks
from recbench.training.losses import log_q_corrected

N_RANKS, N_ITEMS, DIM = 2, 12, 4
N_QUERIES, N_CANDIDATES = (3, 5), (4, 6)  # by rank; none is like the other


def softmax_loss(logits, targets, *, log_q, hits):
    """The sampled softmax whose targets are columns of the candidates."""
    corrected = log_q_corrected(logits, log_q).masked_fill(hits, -torch.inf)
    return nn.functional.cross_entropy(corrected, targets)


def batches():
    """Each rank's queries, items drawn, targets' columns, and own items of the queries."""
    rng = torch.Generator().manual_seed(7)
    made = []
    for n_queries, n_candidates in zip(N_QUERIES, N_CANDIDATES, strict=True):
        drawn = torch.randint(N_ITEMS, (n_candidates,), generator=rng)
        targets = torch.randint(n_candidates, (n_queries,), generator=rng)
        made.append(
            {
                "queries": torch.randn(n_queries, 3, dtype=torch.float64, generator=rng),
                "drawn": drawn,
                "targets": targets,
                "owners": torch.arange(n_queries).repeat(2),
                "own": torch.cat(
                    [drawn[targets], torch.randint(N_ITEMS, (n_queries,), generator=rng)]
                ),
            }
        )
    return made


class Towers(nn.Module):
    """A small pair of towers, the same on every rank; ``forward`` is a batch's loss."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.query = nn.Linear(3, DIM, dtype=torch.float64)
        self.item = nn.Embedding(N_ITEMS, DIM, dtype=torch.float64)
        log_q = torch.rand(N_ITEMS, dtype=torch.float64).log()
        self.register_buffer("log_q", log_q)

    def own(self, batch):
        return Candidates(self.item(batch["drawn"]), batch["drawn"], self.log_q[batch["drawn"]])

    def forward(self, batch):
        n_queries = len(batch["queries"])
        everybody, first = gathered_candidates(self.own(batch))
        loss = softmax(self.query(batch["queries"]), everybody, batch["targets"] + first, batch)
        return mean_over_ranks(loss, n_queries=n_queries)


def softmax(queries, candidates, targets, batch):
    hits = accidental_hits(
        batch["owners"], batch["own"], candidates.item_rows, n_queries=len(queries)
    )
    hits[torch.arange(len(queries)), targets] = False
    return softmax_loss(
        queries @ candidates.embeddings.T, targets, log_q=candidates.log_q, hits=hits
    )


def concatenated():
    """Both batches as one."""
    first, second = batches()
    owners = torch.cat([first["owners"], second["owners"] + N_QUERIES[0]])
    targets = torch.cat([first["targets"], second["targets"] + N_CANDIDATES[0]])
    named = {name: torch.cat([first[name], second[name]]) for name in ("queries", "drawn", "own")}
    return named | {"owners": owners, "targets": targets}


def run_rank(rank, folder):
    """What one rank finds, as a file in the folder."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder / 'meet'}",
        rank=rank,
        world_size=N_RANKS,
        timeout=timedelta(seconds=60),
    )
    towers = Towers()
    batch = torch.load(folder / "batches", weights_only=True)[rank]
    wrapped = nn.parallel.DistributedDataParallel(towers)  # averages gradients while it lives
    loss = wrapped(batch)
    loss.backward()
    own = towers.own(batch)
    everybody = gathered_candidates(own)
    try:  # the second rank comes with one dimension less
        gathered_candidates(own._replace(embeddings=own.embeddings[:, rank:]))
        refused = "nothing"
    except InputError as error:
        refused = str(error)
    found = {
        "loss": loss.detach(),
        "gradients": {name: p.grad for name, p in towers.named_parameters()},
        "rows": everybody.candidates.item_rows,
        "log_q": everybody.candidates.log_q,
        "first": everybody.first,
        "refused": refused,
    }
    torch.save(found, folder / f"found-{rank}")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What the ranks found, by rank."""
    folder = tmp_path_factory.mktemp("ranks")
    torch.save(batches(), folder / "batches")
    command = [sys.executable, "-W", "error", __file__]
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo"}
    ranks = [
        subprocess.Popen(
            [*command, str(rank), str(folder)], env=environment, stderr=subprocess.PIPE, text=True
        )
        for rank in range(N_RANKS)
    ]
    try:
        errors = [rank.communicate(timeout=120)[1] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(errors)
    return [torch.load(folder / f"found-{rank}", weights_only=True) for rank in range(N_RANKS)]


@pytest.fixture(scope="module")
def expected():
    """Loss and gradients of one process."""
    batch, towers = concatenated(), Towers()
    loss = softmax(towers.query(batch["queries"]), towers.own(batch), batch["targets"], batch)
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in towers.named_parameters()}


def test_every_rank_sees_the_candidates_of_all_in_order_of_rank(found):
    drawn = torch.cat([batch["drawn"] for batch in batches()])
    for rank in found:
        assert torch.equal(rank["rows"], drawn)
        torch.testing.assert_close(rank["log_q"], Towers().log_q[drawn], rtol=0, atol=0)
    assert [rank["first"] for rank in found] == [0, N_CANDIDATES[0]]


def test_the_mean_loss_of_two_ranks_is_that_of_one_process(found, expected):
    torch.testing.assert_close((found[0]["loss"] + found[1]["loss"]) / 2, expected[0])


def test_averaged_gradients_of_two_ranks_are_those_of_one_process(found, expected):
    for rank in found:
        torch.testing.assert_close(rank["gradients"], expected[1])
    assert expected[1]["item.weight"].abs().sum() > 0


def test_a_positive_that_another_rank_has_drawn_is_no_negative():
    first, second = batches()
    assert accidental_hits(first["owners"], first["own"], second["drawn"], n_queries=3).any()


def test_ranks_with_other_dimensions_are_refused_together(found):
    for rank in found:
        assert rank["refused"].endswith("by rank they have [4, 3]")


if __name__ == "__main__":
    run_rank(int(sys.argv[1]), Path(sys.argv[2]))
    # gloo's threads may outlive the group and abort a process that tears down as usual
    os._exit(0)
