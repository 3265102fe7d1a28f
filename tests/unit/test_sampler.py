"""The order of samples is a function of seed and position alone."""

from itertools import islice

import pytest

from retouche.data.sampler import Sampler, order, place, sample_key


def test_each_epoch_is_a_permutation_of_its_own():
    epochs = [order(0, epoch, 50) for epoch in range(3)]
    assert all(sorted(one) == list(range(50)) for one in epochs)
    assert len(set(epochs)) == 3
    assert order(0, 1, 50) == epochs[1] != order(1, 1, 50)


def test_batches_run_on_over_epochs():
    """Seven pictures in batches of four: no picture is left out or repeated within an epoch."""
    taken = [one for batch in islice(Sampler(7, 4, seed=3), 7) for one in batch]
    for epoch in range(4):
        mine = [one for one in taken if one.epoch == epoch]
        assert [one.position for one in mine] == list(range(7))
        assert sorted(one.picture for one in mine) == list(range(7))
    assert len({one.key for one in taken}) == len(taken)


@pytest.mark.parametrize("first", [0, 1, 5, 100])
def test_starts_anywhere(first):
    whole = list(islice(Sampler(11, 3, seed=1), 110))
    assert list(islice(Sampler(11, 3, seed=1, first=first), 5)) == whole[first : first + 5]


@pytest.mark.parametrize("processes", [1, 2, 3, 6])
def test_processes_share_one_order(processes):
    whole = list(islice(Sampler(10, 6, seed=2), 8))
    shares = [list(islice(Sampler(10, 6, seed=2, process=i, processes=processes), 8)) for i in range(processes)]
    assert [[one for share in shares for one in share[number]] for number in range(8)] == whole


def test_parts_of_batches_are_the_batches():
    """Batches of two, two at a time, are the batches of four: accumulating changes no order."""
    parts = list(islice(Sampler(9, 2, seed=4), 10))
    assert [parts[i] + parts[i + 1] for i in range(0, 10, 2)] == list(islice(Sampler(9, 4, seed=4), 5))


def test_keys_do_not_depend_on_the_number_of_pictures():
    assert place(0, 3, 10).key == place(0, 3, 12).key != place(1, 3, 10).key
    assert 0 <= sample_key("anything", 1) < 2**63
