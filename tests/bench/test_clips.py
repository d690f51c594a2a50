"""The benchmark of clips counts what it says."""

from bench import clips


def test_divided_attention_keeps_less_than_all_weights():
    found = {cost.layer: cost for cost in clips.costs(4, turns=1)}
    assert set(found) == {"joint", "joint, all weights kept", "divided"}
    weights = 4 * clips.BATCH * clips.HEADS * (4 * clips.PATCHES) ** 2 / 1e6  # MB of float32
    assert found["joint, all weights kept"].megabytes > found["joint"].megabytes + weights * 0.9
    assert all(cost.ms > 0 and cost.frames == 4 for cost in found.values())


def test_rows_are_those_of_the_file():
    assert {row[0] for row in clips.rows()} <= set(clips.FRAMES)
