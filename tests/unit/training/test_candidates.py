import pytest
import torch

from recbench.errors import InputError
from recbench.training.candidates import Candidates, accidental_hits


def candidates(rows, *, dim=2):
    n = len(rows)
    return Candidates(torch.randn(n, dim), torch.tensor(rows), torch.full((n,), -2.0))


def test_hits_match_naive_loop():
    rng = torch.Generator().manual_seed(0)
    owners = torch.randint(5, (40,), generator=rng)
    own = torch.randint(30, (40,), generator=rng)
    drawn = torch.randint(40, (60,), generator=rng)  # some are nobody's, some stand there twice
    found = accidental_hits(owners, own, drawn, n_queries=6)
    pairs = set(zip(owners.tolist(), own.tolist(), strict=True))
    naive = [[(query, row) in pairs for row in drawn.tolist()] for query in range(6)]
    assert found.tolist() == naive
    assert 0 < found.sum() < found.numel()


def test_nothing_owned_or_nothing_drawn_gives_no_hits():
    nothing = torch.zeros(0, dtype=torch.int64)
    assert accidental_hits(nothing, nothing, torch.tensor([4, 2]), n_queries=3).sum() == 0
    some = torch.tensor([1])
    assert accidental_hits(some, some, nothing, n_queries=3).shape == (3, 0)


def test_owners_of_other_items_are_refused():
    with pytest.raises(InputError, match=r"shapes \(1,\) and \(2,\)"):
        accidental_hits(torch.tensor([0]), torch.tensor([3, 4]), torch.tensor([3]), n_queries=1)


def test_joined_candidates_keep_their_columns():
    first, second = candidates([5, 3]), candidates([3])
    joined = Candidates.joined([first, second])
    assert joined.item_rows.tolist() == [5, 3, 3]
    assert torch.equal(joined.embeddings[:2], first.embeddings)
    assert torch.equal(joined.embeddings[2:], second.embeddings)


def test_fields_of_other_lengths_are_refused():
    broken = candidates([5, 3])._replace(log_q=torch.zeros(3))
    with pytest.raises(InputError, match=r"got \(2, 2\), \(2,\) and \(3,\)"):
        broken.checked()


def test_rows_that_are_no_whole_numbers_are_refused():
    with pytest.raises(InputError, match="int64, got torch.float32"):
        candidates([5.0, 3.0]).checked()
