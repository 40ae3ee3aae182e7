import numpy as np

from recbench.datasets.world.noise import keyed_uniforms


def test_the_same_key_gives_the_same_number_in_any_order_and_company():
    keys = np.arange(1_000)
    all_at_once = keyed_uniforms(7, 1, keys)
    shuffled = np.random.default_rng(0).permutation(keys)

    assert np.array_equal(keyed_uniforms(7, 1, shuffled), all_at_once[shuffled])
    assert keyed_uniforms(7, 1, 5) == all_at_once[5]
    assert keyed_uniforms(7, 1, keys[:, None], keys[None, :3]).shape == (1_000, 3)


def test_seeds_streams_and_the_order_of_keys_matter():
    one = np.arange(100)
    for other in (
        keyed_uniforms(8, 1, one, 0),
        keyed_uniforms(7, 2, one, 0),
        keyed_uniforms(7, 1, 0, one),
        keyed_uniforms(7, 1, one),
    ):
        assert not np.any(keyed_uniforms(7, 1, one, 0)[1:] == other[1:])


def test_numbers_are_uniform_and_keys_that_are_neighbours_are_independent():
    drawn = keyed_uniforms(0, 3, np.arange(300)[:, None], np.arange(300)[None, :])
    n = drawn.size

    assert 0 < drawn.min() < drawn.max() < 1
    # standard errors: of a mean of uniforms sqrt(1 / 12 / n), of a correlation 1 / sqrt(n)
    assert abs(drawn.mean() - 0.5) < 4 * (1 / 12 / n) ** 0.5
    for one, other in ((drawn[1:], drawn[:-1]), (drawn[:, 1:], drawn[:, :-1])):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 4 / n**0.5
    counts = np.histogram(drawn, bins=20, range=(0, 1))[0]
    chi_square = ((counts - n / 20) ** 2 / (n / 20)).sum()
    assert chi_square < 43.8  # 0.999 of chi-square with 19 degrees of freedom
