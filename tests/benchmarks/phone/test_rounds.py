from benchmarks.phone.models import PhoneModel, Setting
from benchmarks.phone.rounds import turns
from benchmarks.results.names import XNNPACK


def test_turns_meet_every_setting_in_every_round_and_change_who_is_first():
    models = [PhoneModel(name, name.encode(), 2.0) for name in "abc"]
    plan = turns(models, [Setting(1, XNNPACK), Setting(2, XNNPACK)], 3)
    assert len(plan) == 18
    assert ["".join(turn.model.name for turn in plan[n : n + 3]) for n in range(0, 18, 3)] == [
        *("abc", "abc", "bca", "bca", "cab", "cab")
    ]
