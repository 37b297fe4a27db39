import numpy as np

from sat2map.evaluation.metrics.objects import object_recall


def mask(*boxes):
    drawn = np.zeros((20, 30), bool)
    for top, left, bottom, right in boxes:
        drawn[top:bottom, left:right] = True
    return drawn


def test_an_object_is_found_where_half_of_it_is_covered():
    target = mask((2, 2, 6, 8), (10, 2, 14, 8), (10, 20, 14, 26))
    fake = mask(
        (2, 2, 6, 5), (10, 2, 14, 4)
    )  # half of the first, a third of the second, nothing of the third

    assert object_recall(fake, target) == (1, 3)


def test_lines_that_antialiasing_leaves_and_specks_are_no_objects():
    target = mask((2, 0, 4, 30), (10, 10, 13, 13))  # two pixels high; nine pixels in all

    assert object_recall(target, target) == (0, 0)


def test_a_wrong_patch_elsewhere_changes_nothing():
    target = mask((2, 2, 8, 8))

    assert object_recall(target | mask((12, 12, 18, 18)), target) == (1, 1)
