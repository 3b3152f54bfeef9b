"""What training and test share is found whatever its spelling, and said in a sentence."""

from distill.evaluation.report.leaks import Identity, find_shared, warn_of_shared

TRAINING = [Identity("S05", "a:1", "f1", "s1", "Kigali", "Phone A"), Identity("s6", "a:2", "f2", "s2", "Kigali", "")]


def test_nothing_shared_gives_no_warning_and_what_nobody_knows_is_not_known():
    shared = find_shared(TRAINING, [Identity("s7", "b:1", "f3", "s3", "", "Phone B")])
    assert warn_of_shared(shared) == []
    assert shared["site"] is None and shared["subject"]["n_shared"] == 0


def test_each_thing_that_is_shared_has_a_warning():
    test = [Identity("s-5", "a:2", "f1", "s2", "kigali", "phone a"), Identity("s9", "", "f1", "", "Kigali", "")]
    shared = find_shared(TRAINING, test)
    assert {name: found["n_shared"] for name, found in shared.items()} == dict.fromkeys(shared, 1)
    assert shared["file"]["n_test_recordings"] == 2
    warnings = warn_of_shared(shared)
    assert len(warnings) == 6
    assert warnings[0] == "Training and test share a subject: 's-5', in 1 recordings of the test."


def test_words_for_nobody_are_not_a_shared_subject():
    assert find_shared([Identity("unknown")], [Identity("unknown"), Identity("x")])["subject"] is None
